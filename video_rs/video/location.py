"""Where the bytes of a video are: in a file, in a part of a shard (a tar archive), or in a folder of pictures."""

import os
import re
import stat
from typing import NamedTuple

from video_rs.video.errors import DecodeError, system_reason

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp")
"""The endings of the pictures that a folder of frames may hold."""

_PART_OF_SHARD = re.compile(r"(.+\.tar)#(\d+)\+(\d+)")


class Location(NamedTuple):
    """The bytes of a video.

    Attributes:
        file: path of the file, or of the shard, that holds the bytes.
        start: number of the first byte.
        size: number of bytes; None where they go on to the end of the file.
    """

    file: str
    start: int = 0
    size: int | None = None

    @classmethod
    def parse(cls, path: str) -> "Location":
        """Return the location that a path names: ``shard.tar#start+size`` is a part of a shard, any other a file."""
        part = _PART_OF_SHARD.fullmatch(path)
        if part is None:
            return cls(path)
        file, start, size = part.groups()
        return cls(file, int(start), int(size))

    def path(self) -> str:
        """Return the path that :meth:`parse` reads and lists hold."""
        if not self.is_part:
            return self.file
        return f"{self.file}#{self.start}+{self.size}"

    @property
    def is_part(self) -> bool:
        """Whether the video is a part of a shard."""
        return self.size is not None

    def url(self) -> str:
        """Return the URL by which FFmpeg opens these bytes."""
        # The protocol is named so that FFmpeg does not take a colon in a file's name for the end of a protocol.
        if self.size is None:
            return f"file:{self.file}"
        return f"subfile,,start,{self.start},end,{self.start + self.size},,:{self.file}"

    def bytes(self) -> int:
        """Return how many bytes are there, which may be less than ``size``.

        Raises:
            OSError: there is no such file, or the system does not tell.
        """
        behind_start = max(0, os.path.getsize(self.file) - self.start)
        if self.size is None:
            return behind_start
        return min(self.size, behind_start)


class Stamp(NamedTuple):
    """What tells that a file is still the one that was probed.

    Attributes:
        size: bytes of the file.
        changed: time of its last change, in nanoseconds since 1970.
    """

    size: int
    changed: int

    @classmethod
    def of_file(cls, path: str) -> "Stamp | None":
        """Return the stamp of a file now, of a part of a shard that of the whole shard; None where there is none."""
        try:
            status = os.stat(Location.parse(path).file)
        except (OSError, ValueError):  # a ValueError says that there is a null byte in the name
            return None
        return cls(status.st_size, status.st_mtime_ns)


def check_file(path: str) -> None:
    """Check that a path leads to a readable regular file, or to a part of one, with something in it.

    FFmpeg would wait for ever for a pipe that nobody writes to.

    Raises:
        DecodeError: the path does not.
    """
    location = Location.parse(path)
    try:
        status = os.stat(location.file)
    except FileNotFoundError:
        raise DecodeError(path, "no such file", "missing") from None
    except (OSError, ValueError) as error:  # a ValueError says that there is a null byte in the name
        raise DecodeError(path, system_reason(error)) from error

    if not stat.S_ISREG(status.st_mode):
        raise DecodeError(path, "not a regular file")
    if status.st_size == 0 or location.size == 0:
        raise DecodeError(path, "empty file", "empty")
    if location.is_part and location.bytes() < location.size:
        raise DecodeError(path, f"truncated: {location.file} ends before the video does", "truncated")
