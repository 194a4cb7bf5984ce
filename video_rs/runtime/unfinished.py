"""Files that a process which Ctrl-C ends at once must not leave behind: half done, or there for a time only."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_unfinished: set[Path] = set()


@contextlib.contextmanager
def unfinished(path: Path) -> Iterator[None]:
    """Name a file, or a folder of files, that is not whole while this context lasts."""
    _unfinished.add(path)
    try:
        yield
    finally:
        _unfinished.discard(path)


@contextlib.contextmanager
def temporary_folder(prefix: str = "tmp", parent: Path | None = None) -> Iterator[Path]:
    """Give a new folder, which is removed at the end, also where a Ctrl-C ends the process at once.

    Args:
        prefix: of its name.
        parent: where it is made; None: where the system keeps temporary files.

    Raises:
        OSError: it cannot be made.
    """
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    _unfinished.add(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        # Not reached where a Ctrl-C comes while the folder is removed: the rest goes at the end of the process.
        _unfinished.discard(folder)


def remove_unfinished_files() -> None:
    """Remove what is not whole or was for a time only, from whatever thread; the process is about to end."""
    for path in list(_unfinished):
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
