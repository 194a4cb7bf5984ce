"""Windows of a live stream, shared by the thread that reads frames and the one that scores clips.

The stream's time is divided into ticks. The frame on the screen in the middle of a tick is the frame of that tick, as
in :meth:`video_rs.data.preprocessing.ClipSpec.starting_at`. Only ticks that some window needs are kept, and only as
long as one may need them. Who scores too slowly gets windows that are further apart, never older ones than the lag
allows; who reads too fast overwrites the oldest frames.
"""

import math
import threading
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import torch
from torch import Tensor

from video_rs.data.preprocessing import ClipSpec
from video_rs.inference.timeline.windows import Window
from video_rs.video.segments import whole_video

LONGEST_HOLD = 1.0
"""Seconds for which a frame stays on the screen where no other comes; then there is nothing to see."""


class Wait(Enum):
    """Why there is no clip."""

    NOT_YET = "the frames of the next window have not come yet"
    GAP = "the stream was interrupted: what comes next has no part in what came before"
    END = "no frames come any more"


class LiveClip(NamedTuple):
    """A window and its clip, uint8 ``[3, T, h, w]``."""

    window: Window
    clip: Tensor


@dataclass(frozen=True)
class LivePlan:
    """Which ticks make which window.

    Attributes:
        rate: ticks a second.
        offsets: int64 ``[T]``, ticks of a window from its first one.
        ticks: length of a window.
        stride: ticks from a window to the next.
        most_lag: ticks by which a window that is scored may be older than the newest frame.
    """

    rate: float
    offsets: Tensor
    ticks: int
    stride: int
    most_lag: int

    @classmethod
    def of(cls, clip: ClipSpec, fps: float, stride: float, lag: float) -> "LivePlan":
        """Return the plan for a stream of ``fps`` frames per second, with stride and lag in seconds."""
        rate = clip.target_fps or fps
        ticks = clip.num_frames * clip.sampling_rate
        offsets = clip.starting_at(whole_video(ticks, rate), 0.0)
        return cls(rate, offsets, ticks, max(1, round(stride * rate)), math.ceil(lag * rate))

    def is_needed(self, tick: int) -> bool:
        """Return whether some window needs a tick."""
        starts = tick - self.offsets
        return bool(((starts >= 0) & (starts % self.stride == 0)).any())

    def window(self, number: int) -> Window:
        """Return a window; its frames are ticks."""
        first = number * self.stride
        return Window(first / self.rate, (first + self.ticks) / self.rate, first + self.offsets)

    def last_tick(self, number: int) -> int:
        """Return the tick that completes a window."""
        return number * self.stride + int(self.offsets.max())


@dataclass
class _Held:
    """A frame on the screen, uint8 ``[3, h, w]``, and whether its window's turn has come."""

    frame: Tensor
    is_used: bool = False


class LiveWindows:
    """The frames that windows may still need.

    Attributes:
        dropped: frames that came and were in no clip, because scoring was too slow for them.
    """

    def __init__(self, plan: LivePlan):
        self.plan = plan
        self.dropped = 0
        self._held: dict[int, _Held] = {}
        self._newest = -1
        self._number = 0  # of the next window
        self._ended = False
        self._changed = threading.Condition()

    def add(self, first: int, stop: int, frame: Tensor) -> None:
        """Take a frame, uint8 ``[3, h, w]``, that is on the screen in the ticks from ``first`` to before ``stop``."""
        held = _Held(frame)
        with self._changed:
            for tick in range(first, stop):
                if self.plan.is_needed(tick):
                    self._held[tick] = held

            self._newest = max(self._newest, stop - 1)
            # Whatever is scored next is at most so old.
            self._forget_before(self._newest - self.plan.most_lag - self.plan.ticks + 1)
            self._changed.notify_all()

    def end(self) -> None:
        """Say that no frames come any more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def take(self, seconds: float) -> LiveClip | Wait:
        """Return the next window with its clip, or why there is none within so many seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._is_complete(self._number), seconds)

            if self._is_complete(self._number):
                self._skip_old()
                return self._clip()
            if self._ended:
                return Wait.END
            return Wait.NOT_YET

    def _is_complete(self, number: int) -> bool:
        return self.plan.last_tick(number) <= self._newest

    def _skip_old(self) -> None:
        """Go to the oldest window that the lag allows."""
        behind = self._newest - self.plan.most_lag - self.plan.last_tick(self._number)
        if behind > 0:
            self._number += math.ceil(behind / self.plan.stride)
            # With a stride longer than the lag, the newest one that is complete.
            while not self._is_complete(self._number):
                self._number -= 1

    def _clip(self) -> LiveClip | Wait:
        """Return the next window with its clip, or that it has not all of its frames."""
        window = self.plan.window(self._number)
        held = [self._held.get(tick) for tick in window.frames.tolist()]
        for frame in held:
            if frame is not None:
                frame.is_used = True

        self._number += 1
        self._forget_before(self._number * self.plan.stride)
        if any(frame is None for frame in held):
            return Wait.GAP
        return LiveClip(window, torch.stack([frame.frame for frame in held], dim=1))

    def _forget_before(self, tick: int) -> None:
        """Forget frames that no window needs any more, and count those that no window has used."""
        old = [number for number in self._held if number < tick]
        forgotten = {id(self._held[number]): self._held.pop(number) for number in old}

        # A frame that is on the screen for several ticks may still be needed.
        remaining = {id(frame) for frame in self._held.values()}
        for identity, frame in forgotten.items():
            if identity not in remaining and not frame.is_used:
                self.dropped += 1
