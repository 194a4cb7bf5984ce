"""What AVI, Matroska and WebM files say of their own size: FFmpeg does not tell."""

from typing import BinaryIO

from video_rs.video.location import Location

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067
_UNFINISHED = (0, 0xFFFFFFFF)  # what recorders write in the place of a RIFF size that they do not know yet


def size_in_header(path: str) -> int | None:
    """Bytes that the file at ``path``, or its part, should have; None: another format, or one that does not say.

    Matroska and WebM by RFC 8794 and RFC 9559; AVI by the size of its RIFF chunk. An AVI of more than a gigabyte has
    several of these, of which the first is asked.
    """
    location = Location.parse(path)
    with open(location.file, "rb") as file:
        file.seek(location.start)
        if file.read(4) == b"RIFF":
            size = int.from_bytes(file.read(4), "little")
            return None if size in _UNFINISHED else 8 + size

        file.seek(location.start)
        size = _matroska_end(file)
        return None if size is None else size - location.start


def _matroska_end(file: BinaryIO) -> int | None:
    """The byte behind the segment that holds the film."""
    element, size = _number(file, keep_marker=True), _number(file)
    if element != _EBML or size is None:
        return None
    file.seek(size, 1)
    element, size = _number(file, keep_marker=True), _number(file)
    return file.tell() + size if element == _SEGMENT and size is not None else None


def _number(file: BinaryIO, keep_marker: bool = False) -> int | None:
    """The next number of variable length: as many bytes as its first has leading zeros, and one. None: unknown."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1))
    marker = 1 << 7 * length
    if keep_marker:
        return value
    return None if value == 2 * marker - 1 else value - marker
