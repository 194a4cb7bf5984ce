"""A file of lines that holds whole lines only, at any moment."""

import errno
import os
from pathlib import Path
from typing import Self


class LineFile:
    """Lines that are in the file as soon as they are added: a reader, or a killed run, never sees half of one.

    Use it as a context manager; what was in the file before is replaced when it opens.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._end = 0

    def append(self, text: str) -> None:
        """Add lines; ``text`` ends with a line feed. On an error the file is as it was before."""
        data = text.encode("utf-8", "backslashreplace")
        try:
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(self._file, self._end)
            os.lseek(self._file, self._end, os.SEEK_SET)
            raise
        self._end += len(data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()
