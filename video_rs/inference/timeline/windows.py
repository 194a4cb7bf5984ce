"""Windows that slide over a video: which frames make each of them. No pixels here."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from torch import Tensor

from video_rs.data.preprocessing import ClipSpec
from video_rs.video.segments import TIME_NOISE, Span

NOISE = float(TIME_NOISE)


@dataclass(frozen=True)
class Window:
    """One clip of a video, and when it is shown.

    Attributes:
        start, end: seconds of the video in which its frames are on the screen.
        frames: int64 ``[T]``, numbers of its frames in the video.
    """

    start: float
    end: float
    frames: Tensor

    @property
    def centre(self) -> float:
        """Return the middle of the window, in seconds."""
        return (self.start + self.end) / 2


@dataclass(frozen=True)
class SlidingWindows:
    """The windows of a video, made one by one as often as they are asked for.

    The first begins with the span. The last ends with it, even where that is less than a stride after the one before.

    Attributes:
        clip: which frames make a clip.
        span: the frames of the video.
        stride: seconds from the start of a window to that of the next, above 0.
        begins: seconds of the video at which the span begins.
    """

    clip: ClipSpec
    span: Span
    stride: float
    begins: float = 0.0

    @property
    def ends(self) -> float:
        """Return the seconds of the video at which the span ends."""
        return self.begins + self.span.seconds

    @property
    def last_start(self) -> float:
        """Return where the last window starts, in seconds from the first frame of the span."""
        return max(0.0, self.span.seconds - self.clip.seconds(self.span.fps))

    def __len__(self) -> int:
        whole_strides = int(self.last_start / self.stride + NOISE)
        windows = whole_strides + 1

        # What is left is less than a stride, and has a window that ends with the video.
        rest = self.last_start - whole_strides * self.stride
        if rest > NOISE:
            windows += 1
        return windows

    def __iter__(self) -> Iterator[Window]:
        for number in range(len(self)):
            seconds = min(number * self.stride, self.last_start)
            frames = self.clip.starting_at(self.span, seconds)
            yield self._window(frames)

    def _window(self, frames: Tensor) -> Window:
        """Return the window of these frames."""
        first = int(frames.min())
        last = int(frames.max())

        # The last frame of a clip stands for the time up to where the next one would be taken.
        step = self.clip.seconds(self.span.fps) / self.clip.num_frames
        behind = last + max(1, round(step * self.span.fps))
        return Window(self._shown_at(first), self._shown_at(behind), frames)

    def _shown_at(self, frame: int) -> float:
        """Return when a frame appears, in seconds of the video; for one behind the span, when the span ends."""
        offset = frame - self.span.first
        if offset >= self.span.count:
            return self.ends

        # At an even rate there is no list of times.
        if self.span.times is None:
            return self.begins + offset / self.span.fps
        return self.begins + float(self.span.times[offset])


def needed_frames(windows: Iterable[Window]) -> Iterator[int]:
    """Yield the frames that some window needs, in rising order and each once.

    Only as many windows are looked at as overlap. Windows come in the order of their first frames.
    """
    waiting: list[int] = []  # a heap, in which a frame of several windows stands several times

    for window in windows:
        # Whatever comes later needs no frame before this window's first one.
        yield from _popped_before(waiting, int(window.frames.min()))
        for frame in window.frames.tolist():
            heapq.heappush(waiting, frame)

    if waiting:
        yield from _popped_before(waiting, max(waiting) + 1)


def _popped_before(heap: list[int], limit: int) -> Iterator[int]:
    """Take the numbers below ``limit`` out of a heap; yield each once, in rising order."""
    latest = None
    while heap and heap[0] < limit:
        number = heapq.heappop(heap)
        if number != latest:
            latest = number
            yield number
