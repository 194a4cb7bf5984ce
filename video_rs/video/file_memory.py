"""What a process keeps in memory of the files that it has opened: training opens each of them once an epoch."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from video_rs.video.location import Stamp

T = TypeVar("T")


class FileMemory(Generic[T]):
    """One value for each file, until the file changes; the oldest are forgotten where all are too large.

    Args:
        most: the size that all values may have together. The newest value stays, whatever its size.
        size_of: returns the size of a value, which stays the same.
    """

    def __init__(self, most: int, size_of: Callable[[T], int]):
        self._most = most
        self._size_of = size_of
        self._kept: OrderedDict[str, tuple[Stamp, T]] = OrderedDict()
        self._size = 0

    def get(self, path: str, stamp: Stamp | None) -> T | None:
        """Return the value of a file whose stamp is this one; None where there is none."""
        kept_stamp, value = self._kept.get(path, (None, None))
        if stamp is None or stamp != kept_stamp:
            return None
        return value

    def keep(self, path: str, stamp: Stamp | None, value: T) -> None:
        """Take the value of a file, in the place of an earlier one; a file without a stamp is not remembered."""
        if stamp is None:
            return

        self._forget(path)
        self._kept[path] = stamp, value
        self._size += self._size_of(value)
        while self._size > self._most and len(self._kept) > 1:
            self._forget(next(iter(self._kept)))

    def _forget(self, path: str) -> None:
        if path in self._kept:
            _, value = self._kept.pop(path)
            self._size -= self._size_of(value)
