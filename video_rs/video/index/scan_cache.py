"""Frame indexes that this process took long to make, kept in memory: training opens each file once an epoch."""

import time
from collections import OrderedDict

from video_rs.video.index.frame_index import FrameIndex
from video_rs.video.index.packet_scan import scan
from video_rs.video.location import Stamp

# Scans that took less are done again: an ordinary file of ten seconds is scanned in two milliseconds.
_WORTH_KEEPING = 0.02  # seconds

# Frames in all indexes that are kept: about 100 MB.
_MOST_FRAMES = 4_000_000

_kept: OrderedDict[str, tuple[Stamp, FrameIndex]] = OrderedDict()


def cached_scan(path: str) -> FrameIndex:
    """Return the frame index of a file, from memory if the scan took long and the file has not changed since.

    Raises:
        DecodeError: as :func:`video_rs.video.index.packet_scan.scan` does.
    """
    stamp = Stamp.of_file(path)
    kept_stamp, index = _kept.get(path, (None, None))
    if index is not None and stamp == kept_stamp:
        return index

    began = time.perf_counter()
    index = scan(path)
    took = time.perf_counter() - began
    if stamp is not None and took > _WORTH_KEEPING:
        _kept[path] = stamp, index
        _kept.move_to_end(path)
        _forget_oldest()
    return index


def _forget_oldest() -> None:
    """Forget the oldest indexes where there are too many, but never the newest one."""
    frames = sum(len(index.pts) for _, index in _kept.values())
    while frames > _MOST_FRAMES and len(_kept) > 1:
        _, (_, oldest) = _kept.popitem(last=False)
        frames -= len(oldest.pts)
