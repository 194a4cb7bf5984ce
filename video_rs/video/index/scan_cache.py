"""Frame indexes that this process has made, kept in memory: training opens each file once an epoch."""

from video_rs.video.file_memory import FileMemory
from video_rs.video.index.frame_index import FrameIndex
from video_rs.video.index.packet_scan import scan
from video_rs.video.location import Stamp

# Bytes that an index takes beside its arrays.
_OBJECTS = 2000


def _size_of(index: FrameIndex) -> int:
    """Return about how many bytes an index takes."""
    arrays = (index.pts, index.packets, index.key, index.key_packets)
    return _OBJECTS + sum(array.nbytes for array in arrays)


_kept: FileMemory[FrameIndex] = FileMemory(most=100_000_000, size_of=_size_of)


def cached_scan(path: str) -> FrameIndex:
    """Return the frame index of a file, from memory if the file has not changed since it was scanned.

    Raises:
        DecodeError: as :func:`video_rs.video.index.packet_scan.scan` does.
    """
    stamp = Stamp.of_file(path)
    index = _kept.get(path, stamp)
    if index is None:
        index = scan(path)
        _kept.keep(path, stamp, index)
    return index
