"""The frames that clips are drawn from: all of a video, or those of a segment of it, and when each is on the screen."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

TIME_NOISE = Fraction(1, 10**6)  # frames or seconds: times that are floats must not gain or lose a frame


@dataclass(frozen=True)
class Span:
    """Consecutive frames of a video.

    Attributes:
        first: number of the first of them in the video.
        count: how many, at least 1.
        fps: average frames per second of the video.
        seconds: for how long they are shown, from the time of the first one on.
        times: float64 ``[count]``, seconds of each from the first of them; None where the rate is even, i / fps.
    """

    first: int
    count: int
    fps: float
    seconds: float
    times: np.ndarray | None = None

    def frames_at(self, rate: float) -> int:
        """Return how many frames these would be at ``rate`` frames per second, at least 1."""
        return max(1, round(self.seconds * rate))

    def on_screen(self, seconds: Tensor) -> Tensor:
        """Return the video's frames that are shown ``seconds`` after the first one: float64, any shape -> int64."""
        if self.times is None:
            numbers = (seconds * self.fps).floor().long()
        else:
            begun = np.searchsorted(self.times, seconds.numpy(), side="right")
            numbers = torch.from_numpy(np.asarray(begun)) - 1
        return self.first + numbers.clamp(0, self.count - 1)


def whole_video(num_frames: int, fps: float, times: np.ndarray | None = None) -> Span:
    """Return the span of all frames; arguments are as for :func:`segment_span`."""
    return segment_span(num_frames, fps, None, None, times)


def segment_span(
    num_frames: int, fps: float, start: float | None, end: float | None, times: np.ndarray | None = None
) -> Span:
    """Return the frames whose time lies in ``[start, end)`` seconds, clamped to the video.

    Segments that touch share no frame. In a segment between the times of two frames the earlier one is on the screen,
    and is the segment's only frame.

    Args:
        num_frames: of the video.
        fps: its average frames per second.
        start, end: seconds; None is the video's own start or end.
        times: float64 ``[num_frames]``, seconds of its frames; None: ``i / fps``.

    Raises:
        InputError: the segment lies behind the video's end, or a number is out of range.
    """
    if isinstance(num_frames, bool) or not isinstance(num_frames, int) or num_frames < 1:
        raise InputError(f"num_frames: got {num_frames!r}, allowed: an integer of at least 1; correct the argument")
    check_fps(fps)
    length = num_frames / fps if times is None else float(times[-1]) + 1 / fps
    first = 0 if start is None else max(0, _frame_at(start, fps, times))
    stop = num_frames if end is None else min(num_frames, _frame_at(end, fps, times))

    shown_from = 0.0 if start is None else start
    shown_to = length if end is None else min(end, length)
    if stop <= first and shown_from < shown_to:
        first = max(0, first - 1)
        stop = first + 1
    if stop <= first:
        segment = f"{start or 0}..{'end' if end is None else end} s"
        video = f"{pluralize(num_frames, 'frame')} at {fps:g} per second, {length:.2f} s"
        raise InputError(f"segment {segment} holds no frame: the video has {video}; correct the list's start and end")

    if times is None:
        return Span(first, stop - first, fps, shown_to - first / fps)
    own = times[first:stop] - times[first]
    return Span(first, stop - first, fps, shown_to - float(times[first]), own)


def frame_at(seconds: float | Fraction, fps: float) -> int:
    """Return the first frame at or after a time, at an even rate."""
    return math.ceil(Fraction(seconds) * Fraction(fps) - TIME_NOISE)


def _frame_at(seconds: float, fps: float, times: np.ndarray | None) -> int:
    if times is None:
        return frame_at(seconds, fps)
    return int(np.searchsorted(times + float(TIME_NOISE), seconds))


def check_fps(fps: float) -> None:
    """Raise InputError unless ``fps`` is a rate."""
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"fps: got {fps}, allowed: a number above 0; check the video with the dataset doctor")
