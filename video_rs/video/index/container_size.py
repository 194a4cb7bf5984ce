"""The size that AVI, Matroska and WebM files state of themselves, which FFmpeg does not tell."""

from typing import BinaryIO

from video_rs.video.location import Location

_EBML_HEADER = 0x1A45DFA3  # identifiers of elements, with their length markers: RFC 8794 and RFC 9559
_SEGMENT = 0x18538067
_UNFINISHED = (0, 0xFFFFFFFF)  # what recorders write in the place of a RIFF size that they do not know yet


def size_in_header(path: str) -> int | None:
    """Return the bytes that a file, or a part of a shard, says it has; None for other formats and where it is silent.

    Matroska and WebM state the size of the segment that holds the video, AVI that of its RIFF chunk. An AVI of more
    than a gigabyte has several chunks, of which the first one counts here.
    """
    location = Location.parse(path)
    with open(location.file, "rb") as file:
        file.seek(location.start)
        if file.read(4) == b"RIFF":
            size = int.from_bytes(file.read(4), "little")
            return None if size in _UNFINISHED else 8 + size

        file.seek(location.start)
        end = _matroska_end(file)
        return None if end is None else end - location.start


def _matroska_end(file: BinaryIO) -> int | None:
    """Return the byte behind the segment of a Matroska file; None for another file, or a segment of unknown size."""
    element = _read_number(file, keep_marker=True)
    size = _read_number(file)
    if element != _EBML_HEADER or size is None:
        return None
    file.seek(size, 1)

    element = _read_number(file, keep_marker=True)
    size = _read_number(file)
    if element != _SEGMENT or size is None:
        return None
    return file.tell() + size


def _read_number(file: BinaryIO, keep_marker: bool = False) -> int | None:
    """Return the next number of variable length (RFC 8794, 4); None where its bits say "unknown", or at the end.

    The first byte has as many leading zeros as bytes follow it; the first 1 behind them is a marker, which belongs to
    identifiers (``keep_marker``) but not to sizes.
    """
    first = file.read(1)
    if not first or not first[0]:
        return None

    length = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(length - 1))
    if keep_marker:
        return value

    marker = 1 << 7 * length
    is_unknown = value == 2 * marker - 1  # all bits are 1
    return None if is_unknown else value - marker
