"""Where a video's bytes are: in a file, in a part of one, as in a shard (a tar archive), or in a folder of frames."""

import os
import re
import stat
from typing import NamedTuple

from video_rs.video.errors import DecodeError, system_reason

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")  # of the frames in a folder
_PART = re.compile(r"(.+\.tar)#(\d+)\+(\d+)")


class Location(NamedTuple):
    """A file, or ``size`` bytes of it from ``start`` on: written ``shard.tar#start+size``."""

    file: str
    start: int = 0
    size: int | None = None  # None: to the end

    @classmethod
    def parse(cls, path: str) -> "Location":
        """Any path; only one that ends like ``.tar#12+34`` is a part."""
        part = _PART.fullmatch(path)
        return cls(part[1], int(part[2]), int(part[3])) if part else cls(path)

    def path(self) -> str:
        """As a list writes it, and :meth:`parse` reads it."""
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
    def of_file(cls, path: str) -> "Stamp | None":
        """The stamp of a file now; None where there is none."""
        try:
            status = os.stat(Location.parse(path).file)
        except (OSError, ValueError):  # ValueError: a null byte in the name
            return None
        return cls(status.st_size, status.st_mtime_ns)


def check_file(path: str) -> None:
    """Raises DecodeError unless ``path`` is a readable regular file with something in it: no pipe may block us."""
    location = Location.parse(path)
    try:
        status = os.stat(location.file)
    except FileNotFoundError:
        raise DecodeError(path, "no such file", "missing") from None
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        raise DecodeError(path, system_reason(error)) from error
    if not stat.S_ISREG(status.st_mode):
        raise DecodeError(path, "not a regular file")
    if status.st_size == 0 or location.size == 0:
        raise DecodeError(path, "empty file", "empty")
    if location.is_part and location.bytes() < location.size:
        raise DecodeError(path, f"truncated: {location.file} ends before the video does", "truncated")
