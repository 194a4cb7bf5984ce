"""Where a video's bytes are: in a file, in a part of one, as in a shard (a tar archive), or in a folder of frames."""

import os
import re
from typing import NamedTuple

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")  # of the frames in a folder
_PART = re.compile(r"(.+\.tar)#(\d+)\+(\d+)")


class Location(NamedTuple):
    """A file, or ``size`` bytes of it from ``start`` on: written ``shard.tar#start+size``."""

    file: str
    start: int = 0
    size: int | None = None  # None: to the end

    @classmethod
    def of(cls, path: str) -> "Location":
        """Any path; only one that ends like ``.tar#12+34`` is a part."""
        part = _PART.fullmatch(path)
        return cls(part[1], int(part[2]), int(part[3])) if part else cls(path)

    def path(self) -> str:
        """As a list writes it, and :meth:`of` reads it."""
        return f"{self.file}#{self.start}+{self.size}" if self.is_part else self.file

    @property
    def is_part(self) -> bool:
        """Whether it is inside an archive."""
        return self.size is not None

    def url(self) -> str:
        """For FFmpeg. ``file:`` keeps a colon in a name from being read as a protocol."""
        if self.size is None:
            return f"file:{self.file}"
        return f"subfile,,start,{self.start},end,{self.start + self.size},,:{self.file}"

    def bytes(self) -> int:
        """How many there are. OSError as of :func:`os.stat`."""
        there = max(0, os.path.getsize(self.file) - self.start)
        return there if self.size is None else min(self.size, there)


class Stamp(NamedTuple):
    """What tells that a file is still the one that was probed: its size in bytes and its time of change in ns."""

    size: int
    changed: int

    @classmethod
    def of(cls, path: str) -> "Stamp | None":
        """The stamp of a file now; None where there is none."""
        try:
            status = os.stat(Location.of(path).file)
        except (OSError, ValueError):  # ValueError: a null byte in the name
            return None
        return cls(status.st_size, status.st_mtime_ns)
