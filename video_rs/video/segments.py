"""The frames that clips are drawn from: those of a segment of a video, or all, and when each is on the screen."""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

TIME_NOISE = Fraction(1, 10**6)
"""Frames or seconds by which a time may be off: rounding of floats must not gain or lose a frame."""


@dataclass(frozen=True)
class Span:
    """Consecutive frames of a video.

    Attributes:
        first: number of the first of them in the video.
        count: number of them, at least 1.
        fps: average frames per second of the video.
        seconds: for how long they are shown, from the time of the first one on.
        times: float64 ``[count]``, seconds of each from the first of them; None where frame i is at i / fps.
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
        """Return which frames of the video are shown ``seconds`` after the first one: float64 -> int64, same shape."""
        if self.times is None:
            offsets = (seconds * self.fps).floor().long()
        else:
            # The frame on the screen is the last of those that have begun.
            begun = np.searchsorted(self.times, seconds.numpy(), side="right")
            offsets = torch.from_numpy(np.asarray(begun)) - 1

        return self.first + offsets.clamp(0, self.count - 1)


def whole_video(num_frames: int, fps: float, times: np.ndarray | None = None) -> Span:
    """Return the span of all frames; the arguments are those of :func:`segment_span`."""
    return segment_span(num_frames, fps, None, None, times)


def segment_span(
    num_frames: int, fps: float, start: float | None, end: float | None, times: np.ndarray | None = None
) -> Span:
    """Return the frames whose time lies in ``[start, end)`` seconds, clamped to the video.

    Segments that touch share no frame. Where a segment lies between the times of two frames, the earlier one is on the
    screen, and is the segment's only frame.

    Args:
        num_frames: of the video.
        fps: average frames per second of the video.
        start, end: seconds; None is the video's own start or end.
        times: float64 ``[num_frames]``, seconds of its frames; None where frame i is at i / fps.

    Raises:
        InputError: the segment lies behind the video's end, or a number is out of range.
    """
    if isinstance(num_frames, bool) or not isinstance(num_frames, int) or num_frames < 1:
        raise InputError(f"num_frames: got {num_frames!r}, allowed: an integer of at least 1; correct the argument")
    check_fps(fps)

    # The last frame is taken to be shown for as long as frames are on average.
    length = num_frames / fps if times is None else float(times[-1]) + 1 / fps
    first = 0
    stop = num_frames
    if start is not None:
        first = max(0, _first_frame_from(start, fps, times))
    if end is not None:
        stop = min(num_frames, _first_frame_from(end, fps, times))

    shown_from = 0.0 if start is None else start
    shown_until = length if end is None else min(end, length)
    lies_between_frames = stop <= first and shown_from < shown_until
    if lies_between_frames:
        first = max(0, first - 1)
        stop = first + 1

    if stop <= first:
        segment = f"{start or 0}..{'end' if end is None else end} s"
        video = f"{pluralize(num_frames, 'frame')} at {fps:g} per second, {length:.2f} s"
        raise InputError(f"segment {segment} holds no frame: the video has {video}; correct the list's start and end")

    if times is None:
        return Span(first, stop - first, fps, shown_until - first / fps)
    own_times = times[first:stop] - times[first]
    return Span(first, stop - first, fps, shown_until - float(times[first]), own_times)


def frame_at(seconds: float | Fraction, fps: float) -> int:
    """Return the first frame at or after a time, at an even rate."""
    return math.ceil(Fraction(seconds) * Fraction(fps) - TIME_NOISE)


def _first_frame_from(seconds: float, fps: float, times: np.ndarray | None) -> int:
    if times is None:
        return frame_at(seconds, fps)
    return int(np.searchsorted(times + float(TIME_NOISE), seconds))


def check_fps(fps: float) -> None:
    """Check that ``fps`` is a frame rate.

    Raises:
        InputError: it is not a finite number above 0.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"fps: got {fps}, allowed: a number above 0; check the video with the dataset doctor")
