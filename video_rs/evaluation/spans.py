"""Segments of time in one video: what they cover, and what they share."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Segments(NamedTuple):
    """N segments of one video.

    Attributes:
        spans: float64 ``[N, 2]``, start and end in seconds.
        labels: int64 ``[N]``, class ids.
        scores: float64 ``[N]``; of a truth nothing reads them.
    """

    spans: np.ndarray
    labels: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, rows: Sequence[tuple[float, float, int, float]]) -> "Segments":
        """Return segments from (start, end, label, score) rows."""
        table = np.array(rows, np.float64).reshape(-1, 4)
        return cls(table[:, :2], table[:, 2].astype(np.int64), table[:, 3])

    def of_class(self, label: int) -> "Segments":
        """Return the segments of one class."""
        chosen = self.labels == label
        return Segments(self.spans[chosen], self.labels[chosen], self.scores[chosen])


def joined_spans(spans: Sequence[tuple[float, float]] | np.ndarray) -> np.ndarray:
    """Return the time that some of the spans cover, as disjoint rising spans float64 ``[A, 2]``."""
    joined: list[list[float]] = []

    for start, end in sorted(map(tuple, spans)):
        if joined and start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])

    return np.array(joined, np.float64).reshape(-1, 2)


def overlaps(spans: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return how many seconds each span shares with each of the others: ``[P, 2]``, ``[G, 2]`` -> ``[P, G]``."""
    starts = np.maximum(spans[:, None, 0], others[None, :, 0])
    ends = np.minimum(spans[:, None, 1], others[None, :, 1])
    return np.maximum(ends - starts, 0.0)
