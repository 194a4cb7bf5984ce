"""The windows of a timeline with their best classes, collected one by one."""

from array import array
from dataclasses import dataclass

import numpy as np

from video_rs.inference.timeline.smoothing import Row

KEPT = 10
"""Classes of which a window's probability is kept: those of all 400 would fill the memory in a video of a day."""


@dataclass(frozen=True)
class BestClasses:
    """The best classes of N windows, the best first.

    Attributes:
        labels: int32 ``[N, k]``, class ids.
        scores: float32 ``[N, k]``, their probabilities; NaN where a window could not be read.
    """

    labels: np.ndarray
    scores: np.ndarray

    def curve(self, label: int) -> np.ndarray:
        """Return the probability of a class over the windows, float64 ``[N]``: 0 where it is not among the best."""
        values = np.where(self.labels == label, self.scores, 0.0).sum(axis=1)
        return np.where(np.isnan(self.scores[:, 0]), np.nan, values)


@dataclass(frozen=True)
class WindowTable:
    """N windows in their order.

    Attributes:
        starts, ends: float64 ``[N]``, seconds of the video.
        best: as the network gives them.
        smoothed: after smoothing; segments are made of these.
    """

    starts: np.ndarray
    ends: np.ndarray
    best: BestClasses
    smoothed: BestClasses

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def centres(self) -> np.ndarray:
        """Return the middle of each window, float64 ``[N]`` in seconds."""
        return (self.starts + self.ends) / 2

    @property
    def unread(self) -> int:
        """Return how many windows have no probabilities."""
        return int(np.isnan(self.best.scores[:, 0]).sum())


class _BestLog:
    """Collects the best classes of windows in flat arrays."""

    def __init__(self, num_classes: int):
        self._kept = min(KEPT, num_classes)
        self._labels = array("i")
        self._scores = array("f")

    def add(self, row: Row) -> None:
        if row is None:
            self._labels.extend([0] * self._kept)
            self._scores.extend([np.nan] * self._kept)
            return

        best = np.argsort(-row, kind="stable")[: self._kept]
        self._labels.extend(best.tolist())
        self._scores.extend(row[best].tolist())

    def forget(self, windows: int) -> None:
        del self._labels[: windows * self._kept]
        del self._scores[: windows * self._kept]

    def classes(self) -> BestClasses:
        labels = np.array(self._labels, np.int32).reshape(-1, self._kept)
        scores = np.array(self._scores, np.float32).reshape(-1, self._kept)
        return BestClasses(labels, scores)


class WindowLog:
    """Collects windows one by one.

    Args:
        num_classes: length of a row of probabilities.
        most: of so many windows at least, and twice as many at most, the latest are kept; 0: all are.
    """

    def __init__(self, num_classes: int, most: int = 0):
        self._most = most
        self._starts = array("d")
        self._ends = array("d")
        self._best = _BestLog(num_classes)
        self._smoothed = _BestLog(num_classes)

    def add(self, start: float, end: float, row: Row, smoothed: Row) -> None:
        """Take a window with its probabilities before and after smoothing."""
        self._starts.append(start)
        self._ends.append(end)
        self._best.add(row)
        self._smoothed.add(smoothed)

        # Now and then, because the front of a flat array is expensive to remove.
        if self._most and len(self._starts) >= 2 * self._most:
            self._forget(len(self._starts) - self._most)

    def _forget(self, windows: int) -> None:
        """Forget the first windows."""
        del self._starts[:windows]
        del self._ends[:windows]
        self._best.forget(windows)
        self._smoothed.forget(windows)

    def table(self) -> WindowTable:
        """Return the windows so far."""
        starts = np.array(self._starts, np.float64)
        ends = np.array(self._ends, np.float64)
        return WindowTable(starts, ends, self._best.classes(), self._smoothed.classes())
