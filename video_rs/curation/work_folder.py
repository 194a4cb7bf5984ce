"""A folder that a resumable job fills: one run at a time, nothing of others written over, nothing half done left."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from video_rs.runtime.errors import InputError
from video_rs.video.fetching import is_url

UNFINISHED = ".unfinished"  # folder inside, of the files that are being written


@contextmanager
def taken(folder: Path, doing: str, settle: Callable[[], None]) -> Iterator[None]:
    """Inside, the folder is this run's alone and has an empty folder :data:`UNFINISHED`.

    Args:
        folder: made where it is missing.
        doing: what the job does with it, for the refusal: "packing into".
        settle: called once it is taken; compares what an earlier run left with what this one wants.

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


def refuse_foreign(folder: Path, ours: Sequence[str], sign: str, sources: Iterable[str]) -> None:
    """InputError where a file of another's would be written over, or what is read lies where is written.

    Args:
        folder: of the job.
        ours: names that the job writes.
        sign: name of the file that says that the folder is of this job.
        sources: absolute paths of what is read, or URLs; what links lead to counts too.
    """
    foreign = [name for name in ours if os.path.lexists(folder / name)]
    if foreign and not (folder / sign).exists():
        raise InputError(f"{folder / foreign[0]} is there, but not of this command; choose another folder")
    places = (f"{folder}/", f"{os.path.realpath(folder)}/")
    real_folder = cache(os.path.realpath)  # there are few folders beside the files, and resolving one takes long
    for source in sources:
        if is_url(source):
            continue
        real = os.path.join(real_folder(os.path.dirname(source)), os.path.basename(source))
        real = os.path.realpath(real) if os.path.islink(real) else real
        if source.startswith(places) or real.startswith(places):
            raise InputError(f"{source} lies in {folder}, which is written to; choose another folder")
