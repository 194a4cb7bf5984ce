"""A lock on a folder of a study: one process at a time does what is in it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from video_rs.runtime import distributed
from video_rs.runtime.errors import InputError

LOCK_SECONDS = 30.0
"""For so long a run waits for a process of before, which is saving its state, to end."""


def lock_file(folder: Path) -> Path:
    """Return the file whose lock the process that is at a run holds."""
    return folder / "lock"


@contextmanager
def only_process(path: Path, seconds: float | None = None) -> Iterator[None]:
    """Hold a lock on a file, which goes with the process, however that ends; ranks above 0 need none.

    Args:
        path: of the file, which is made.
        seconds: to wait for another process; None: :data:`LOCK_SECONDS`.

    Raises:
        InputError: another process holds it, and does not end.
    """
    if distributed.rank() > 0 or os.environ.get("RANK", "0") != "0":
        yield
        return

    with path.open("a", encoding="utf-8") as file:
        end = time.monotonic() + (LOCK_SECONDS if seconds is None else seconds)
        while not _locked(file.fileno()):
            if time.monotonic() > end:
                raise InputError(
                    f"another process is at {path.parent}; wait for it, or end it, and give the command again"
                )
            time.sleep(0.2)
        yield


def _locked(descriptor: int) -> bool:
    """Take the lock of a file; return whether nobody else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
