"""Segments: from when to when a video shows a class, by two thresholds on its probability."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from video_rs.inference.timeline.smoothing import Row
from video_rs.runtime.errors import InputError

ROUNDING = 1e-6  # seconds by which the ends of a segment may be off


@dataclass(frozen=True)
class SegmentRules:
    """When a segment begins and ends.

    Attributes:
        on: a probability from which a segment of the class begins, above 0.
        off: a probability below which it ends, at most ``on``. Between the two it goes on, so that a probability that
            wavers around one threshold does not make many segments of one.
        shortest: seconds that a segment lasts at least; shorter ones are dropped.
        exclusive: a video shows one class at a time: the segment of a class ends where another class begins.
    """

    on: float
    off: float
    shortest: float = 0.0
    exclusive: bool = True

    def __post_init__(self):
        if not 0 < self.on <= 1:
            raise InputError(f"--on: got {self.on:g}, allowed: a probability above 0, at most 1")
        if not 0 <= self.off <= self.on:
            raise InputError(
                f"--off: got {self.off:g}, allowed: from 0 to --on, which is {self.on:g}; a segment ends below --off"
            )
        if not 0 <= self.shortest < math.inf:
            raise InputError(f"--shortest: got {self.shortest:g}, allowed: seconds from 0")


class Slot(NamedTuple):
    """The time that a window speaks for, between it and its neighbours, and its smoothed probabilities.

    Attributes:
        start, end: seconds.
        row: float ``[K]``, or None.
    """

    start: float
    end: float
    row: Row


@dataclass(frozen=True, order=True)
class Segment:
    """A part of a video that shows a class.

    Attributes:
        start, end: seconds of the video.
        label: class id.
        score: mean probability of the class over the segment, by time.
    """

    start: float
    end: float
    label: int
    score: float

    @property
    def seconds(self) -> float:
        """Return how long the segment is."""
        return self.end - self.start


@dataclass
class _Open:
    """A segment that has begun: its start, the end so far, and the sum of probability times seconds."""

    start: float
    end: float
    mass: float

    def closed(self, label: int) -> Segment:
        return Segment(self.start, self.end, label, self.mass / (self.end - self.start))


class SegmentTracker:
    """Finds the segments while the windows come, in the order of their ends."""

    def __init__(self, rules: SegmentRules):
        self._rules = rules
        self._open: dict[int, _Open] = {}

    def push(self, slot: Slot) -> list[Segment]:
        """Take the next window; return the segments that have ended before it."""
        if slot.row is None:
            return self.finish()

        fallen = [label for label in self._open if slot.row[label] < self._rules.off]
        ended = self._end(fallen)

        for label in self._beginning(slot.row):
            if self._rules.exclusive:
                ended += self._end(list(self._open))
            self._open[label] = _Open(slot.start, slot.end, 0.0)

        # The mean over a segment is by time: windows do not speak for equally long.
        seconds = slot.end - slot.start
        for label, segment in self._open.items():
            segment.end = slot.end
            segment.mass += float(slot.row[label]) * seconds
        return ended

    def finish(self) -> list[Segment]:
        """Return the segments that have not ended yet; nothing is known of what comes next."""
        return self._end(list(self._open))

    def so_far(self) -> list[Segment]:
        """Return the segments that have not ended yet as they are now, if they are long enough."""
        return [segment.closed(label) for label, segment in self._open.items() if self._is_long_enough(segment)]

    def _is_long_enough(self, segment: _Open) -> bool:
        seconds = segment.end - segment.start
        # Windows of the same frames speak for no time, and the mean over a segment of no time is none.
        return seconds > 0 and seconds >= self._rules.shortest - ROUNDING

    def _beginning(self, row: np.ndarray) -> list[int]:
        """Return the classes whose segments begin with these probabilities."""
        if not self._rules.exclusive:
            risen = np.flatnonzero(row >= self._rules.on).tolist()
            return [label for label in risen if label not in self._open]

        # Of classes that exclude each other, only the best one can begin.
        best = int(row.argmax())
        if row[best] < self._rules.on or best in self._open:
            return []
        return [best]

    def _end(self, labels: Sequence[int]) -> list[Segment]:
        """Close the segments of these classes; return those that are long enough."""
        ended = []
        for label in labels:
            segment = self._open.pop(label)
            if self._is_long_enough(segment):
                ended.append(segment.closed(label))
        return ended
