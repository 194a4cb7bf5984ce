"""What a Matroska or WebM file says of its own size (RFC 8794, RFC 9559): FFmpeg does not tell."""

from typing import BinaryIO

from video_rs.data.decoding.location import Location

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def matroska_size(path: str) -> int | None:
    """Bytes that the file at ``path``, or its part, should have; None: another format, or one that does not say."""
    location = Location.of(path)
    with open(location.file, "rb") as file:
        file.seek(location.start)
        element, size = _number(file, keep_marker=True), _number(file)
        if element != _EBML or size is None:
            return None
        file.seek(size, 1)
        element, size = _number(file, keep_marker=True), _number(file)
        return file.tell() - location.start + size if element == _SEGMENT and size is not None else None


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
