"""A folder that a resumable job fills: one run at a time, nothing of others overwritten, nothing half done left."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from video_rs.runtime.errors import InputError
from video_rs.video.fetching import is_url

UNFINISHED = ".unfinished"
"""Name of the folder inside for the files that are being written."""


@dataclass(frozen=True)
class FileCounts:
    """How many files a run has worked on, each counted once.

    Attributes:
        done: by this run.
        skipped: because an earlier run had done them.
        failed: because they cannot be used.
    """

    done: int
    skipped: int
    failed: int

    @property
    def total(self) -> int:
        """All files."""
        return self.done + self.skipped + self.failed


@contextmanager
def taken(folder: Path, doing: str, settle: Callable[[], None]) -> Iterator[None]:
    """Take a folder for one run; inside, it has an empty folder :data:`UNFINISHED`.

    Args:
        folder: made where it is missing.
        doing: what the job does with it, for the refusal: "packing into".
        settle: called once the folder is taken; compares what an earlier run left with what this run wants.

    Raises:
        InputError: another run has it, or ``settle`` refuses.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another run is {doing} {folder}; wait for it, or choose another") from None

        settle()
        shutil.rmtree(folder / UNFINISHED, ignore_errors=True)  # of a run that was killed
        (folder / UNFINISHED).mkdir()
        try:
            yield
        finally:
            shutil.rmtree(folder / UNFINISHED, ignore_errors=True)


def refuse_foreign(folder: Path, written: Sequence[str], sign: str, sources: Iterable[str]) -> None:
    """Refuse a folder where a file of somebody else's would be overwritten, or where what is read lies.

    Args:
        folder: of the job.
        written: names that the job writes.
        sign: name of the file that says that the folder is of this job.
        sources: absolute paths of what is read, or URLs; what links lead to counts too.

    Raises:
        InputError: the folder may not be written to.
    """
    foreign = [name for name in written if os.path.lexists(folder / name)]
    if foreign and not (folder / sign).exists():
        raise InputError(f"{folder / foreign[0]} is there, but not of this command; choose another folder")

    inside = (f"{folder}/", f"{os.path.realpath(folder)}/")
    # There are few folders beside the files, and resolving a path takes long.
    real_folder = cache(os.path.realpath)
    for source in sources:
        if is_url(source):
            continue

        real = os.path.join(real_folder(os.path.dirname(source)), os.path.basename(source))
        if os.path.islink(real):
            real = os.path.realpath(real)
        if source.startswith(inside) or real.startswith(inside):
            raise InputError(f"{source} lies in {folder}, which is written to; choose another folder")
