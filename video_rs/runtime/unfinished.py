"""Files that are being written, and that a process which ends at once must not leave behind half done."""

import contextlib
import shutil
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


def remove_unfinished_files() -> None:
    """Remove the files that are not whole, from whatever thread; the process is about to end."""
    for path in list(_unfinished):
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
