"""The folder of what visitors send, which is gone when the page is closed."""

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from video_rs.runtime.unfinished import temporary_folder

KEPT_SECONDS = 600.0  # after which a file is removed, while the page is open
EXAMPLES = "examples"
"""The part of the folder whose files stay until the page is closed."""
_LOOK = 10.0


class UploadFolder:
    """A folder of its own; use it as a context manager.

    Args:
        most_bytes: of all files together.

    Attributes:
        path: without symbolic links.
    """

    def __init__(self, most_bytes: int):
        self._most_bytes = most_bytes
        self._reserved = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self.path = self._stack.enter_context(temporary_folder("video_rs_demo_")).resolve()
        threading.Thread(target=self._remove_now_and_then, daemon=True).start()

        return self

    def __exit__(self, *exc_info) -> None:
        self._closed.set()
        self._stack.close()

    def holds(self, path: str) -> bool:
        """Return whether a path is that of a regular file in this folder, and no link to another place."""
        try:
            place = Path(path)
            return place.is_absolute() and place.resolve() == place and self.path in place.parents and place.is_file()
        except (OSError, ValueError):  # a ValueError says that there is a null byte in the name
            return False

    def bytes(self) -> int:
        """Return how many bytes the files have together."""
        total = 0
        for file in self._files():
            with suppress(OSError):
                total += file.stat().st_size

        return total

    @contextmanager
    def room_for(self, size: int) -> Iterator[bool]:
        """Keep place for a file of so many bytes; gives whether there is any."""
        with self._lock:
            has_room = self.bytes() + self._reserved + size <= self._most_bytes
            if has_room:
                self._reserved += size

        try:
            yield has_room
        finally:
            if has_room:
                with self._lock:
                    self._reserved -= size

    @contextmanager
    def new_file(self, same_as: str = "", suffix: str = "") -> Iterator[Path]:
        """Give a path that is not taken, whose name says nothing; what is there in the end is removed.

        Args:
            same_as: a file of this folder that the path leads to, too; "": none.
            suffix: of the name.
        """
        path = self.path / f"{uuid.uuid4().hex}{suffix}"
        try:
            if same_as:
                os.link(same_as, path)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def remove_older(self, seconds: float) -> None:
        """Remove the files that have not changed for so many seconds, and folders that are empty then."""
        oldest = time.time() - seconds
        for file in self._files():
            if file.parent == self.path / EXAMPLES:
                continue
            with suppress(OSError):
                if file.stat().st_mtime <= oldest:
                    file.unlink()
                    if file.parent != self.path:
                        file.parent.rmdir()

    def _files(self) -> list[Path]:
        return [file for file in self.path.rglob("*") if file.is_file() and not file.is_symlink()]

    def _remove_now_and_then(self) -> None:
        while not self._closed.wait(_LOOK):
            self.remove_older(KEPT_SECONDS)
