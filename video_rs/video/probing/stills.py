"""Small pictures of a video, for a person to look at."""

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
"""Start and end of a segment in seconds; None is the video's own."""

_STILL_HEIGHT = 128  # rows of a still, at most: as many as a page shows
_NO_STILLS = np.empty((0, 1, 1, 3), np.uint8)


def stills(
    path: str, segments: Sequence[Segment] = ((None, None),), index: FrameIndex | None = None
) -> list[np.ndarray]:
    """Return pictures of segments of a file, which is opened once for all of them.

    Args:
        path: a file, a URL or a folder of frames.
        segments: of a segment without a frame, the whole video is shown.
        index: the frame index of the file where it is known, as for :func:`open_video`.

    Returns:
        For each segment its first, its middle and its last frame, as far as they can be decoded: uint8
        ``[0..3, h, w, 3]``, shrunk by a whole factor to at most 128 rows.
    """
    pictures: list[list[np.ndarray]] = [[] for _ in segments]

    # Stills accompany a report that says what is wrong with a file. Here, what cannot be read is only left out.
    with contextlib.suppress(DecodeError, OSError), open_video(path, index=index) as reader:
        for shown, (start, end) in zip(pictures, segments, strict=True):
            with contextlib.suppress(DecodeError, OSError):
                for number in _first_middle_last(reader, start, end):
                    frame = reader.frames([number])[0]
                    shown.append(_shrink(frame).numpy())

    return [np.stack(shown) if shown else _NO_STILLS for shown in pictures]


def _first_middle_last(reader: VideoReader, start: float | None, end: float | None) -> list[int]:
    """Return the first, the middle and the last frame of a segment, each once."""
    try:
        span = segment_span(reader.num_frames, reader.fps, start, end, reader.times)
    except InputError:
        span = whole_video(reader.num_frames, reader.fps)
    return sorted({span.first, span.first + span.count // 2, span.first + span.count - 1})


def _shrink(frame: torch.Tensor) -> torch.Tensor:
    """Return the mean of each block of pixels: uint8 ``[H, W, 3]`` -> ``[h, w, 3]``."""
    factor = min(math.ceil(frame.shape[0] / _STILL_HEIGHT), frame.shape[1])
    channels_first = frame.permute(2, 0, 1).float()
    small = torch.nn.functional.avg_pool2d(channels_first, factor)
    return small.round().to(torch.uint8).permute(1, 2, 0)
