"""Stills."""

import contextlib
import math
from collections.abc import Sequence

import numpy as np
import torch

from video_rs.runtime.errors import InputError
from video_rs.video.errors import DecodeError
from video_rs.video.index.frame_index import FrameIndex
from video_rs.video.opening import open_video
from video_rs.video.reader import VideoReader
from video_rs.video.segments import segment_span, whole_video

Segment = tuple[float | None, float | None]
_STILL_HEIGHT = 128  # rows of a still: as many as a page shows (reports/plots.py)


def stills(
    path: str, segments: Sequence[Segment] = ((None, None),), index: FrameIndex | None = None
) -> list[np.ndarray]:
    """Return pictures of segments of a file, which is opened once for all of them.

    Args:
        path: a file, a URL or a folder of frames.
        segments: (start, end) in seconds, None for that of the video; of one without a frame, the whole video is shown.
        index: of the file where it is known, as for :func:`open_video`.

    Returns:
        For each segment its first, its middle and its last frame, as far as they can be decoded: uint8
        ``[0..3, h, w, 3]``, shrunk by a whole factor to at most 128 rows.
    """
    pictures: list[list[np.ndarray]] = [[] for _ in segments]
    with contextlib.suppress(DecodeError, OSError), open_video(path, index=index) as reader:
        for kept, (start, end) in zip(pictures, segments, strict=True):
            with contextlib.suppress(DecodeError, OSError):
                for number in _shown(reader, start, end):
                    kept.append(_shrunk(reader.frames([number])[0]).numpy())
    return [np.stack(kept) if kept else np.empty((0, 1, 1, 3), np.uint8) for kept in pictures]


def _shown(reader: VideoReader, start: float | None, end: float | None) -> list[int]:
    """The first, the middle and the last frame of a segment."""
    try:
        span = segment_span(reader.num_frames, reader.fps, start, end, reader.times)
    except InputError:
        span = whole_video(reader.num_frames, reader.fps)
    return sorted({span.first, span.first + span.count // 2, span.first + span.count - 1})


def _shrunk(frame: torch.Tensor) -> torch.Tensor:
    """The mean of each block of pixels: uint8 ``[H, W, 3]`` -> ``[h, w, 3]``."""
    factor = min(math.ceil(frame.shape[0] / _STILL_HEIGHT), frame.shape[1])
    small = torch.nn.functional.avg_pool2d(frame.permute(2, 0, 1).float(), factor)
    return small.round().to(torch.uint8).permute(1, 2, 0)
