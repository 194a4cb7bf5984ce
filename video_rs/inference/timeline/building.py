"""From windows with probabilities to segments, one window after the other."""

from collections import deque
from typing import NamedTuple

from video_rs.inference.timeline.segments import Segment, SegmentRules, SegmentTracker, Slot
from video_rs.inference.timeline.smoothing import Row, Smoother
from video_rs.inference.timeline.window_log import WindowLog
from video_rs.inference.timeline.windows import Window


class _Known(NamedTuple):
    """A window whose time is known, and that waits to be smoothed."""

    start: float
    end: float
    window: Window
    row: Row


class TimelineBuilder:
    """Takes windows in their order, and gives segments as soon as they have ended.

    Args:
        rules: by which segments are made.
        width: windows that are averaged, odd.
        log: takes all windows.
    """

    def __init__(self, rules: SegmentRules, width: int, log: WindowLog):
        self._smoother = Smoother(width)
        self._tracker = SegmentTracker(rules)
        self._log = log
        self._latest: tuple[Window, Row] | None = None
        self._latest_start = 0.0
        self._known: deque[_Known] = deque()
        self._smoothed: deque[Row] = deque()

    def add(self, window: Window, row: Row) -> list[Segment]:
        """Take the next window with its probabilities, or None; return the segments that have ended."""
        start = window.start
        if self._latest is not None:
            # A window speaks for the time that is nearer to its centre than to its neighbours'.
            before, _ = self._latest
            start = (before.centre + window.centre) / 2
            self._know_end(start)

        self._latest = window, row
        self._latest_start = start
        self._smoothed.extend(self._smoother.push(row))
        return self._track()

    def finish(self) -> list[Segment]:
        """Return the segments that have not ended yet. What comes next has no part in what came before."""
        if self._latest is not None:
            last, _ = self._latest
            self._know_end(last.end)
            self._latest = None

        self._smoothed.extend(self._smoother.finish())
        return self._track() + self._tracker.finish()

    def so_far(self) -> list[Segment]:
        """Return the segments that have not ended yet, as they are now."""
        return self._tracker.so_far()

    def _know_end(self, end: float) -> None:
        """Take over until when the latest window speaks."""
        window, row = self._latest
        self._known.append(_Known(self._latest_start, end, window, row))

    def _track(self) -> list[Segment]:
        """Return the segments that have ended, from the windows of which all is known."""
        ended = []
        while self._known and self._smoothed:
            known = self._known.popleft()
            smoothed = self._smoothed.popleft()

            self._log.add(known.window.start, known.window.end, known.row, smoothed)
            ended += self._tracker.push(Slot(known.start, known.end, smoothed))
        return ended
