"""Files that a process which ends at once must not leave behind: those half done, and those of a temporary folder."""

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
    """Give a new folder, which is removed at the end, also where the process ends at once.

    Args:
        prefix: of its name.
        parent: where it is made; None: where the system keeps temporary files.

    Raises:
        OSError: it cannot be made.
    """
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with unfinished(folder):
            yield folder


def remove_unfinished_files() -> None:
    """Remove what is not whole or was for a time only, from whatever thread; the process is about to end."""
    for path in list(_unfinished):
        with contextlib.suppress(OSError):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
