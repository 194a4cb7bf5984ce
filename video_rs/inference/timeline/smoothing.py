"""Smoothing of probabilities over time, one window after the other."""

from collections import deque

import numpy as np

from video_rs.inference.timeline.windows import NOISE

Row = np.ndarray | None
"""Probabilities float ``[K]`` of a window, or None where it could not be read."""


def windows_of(seconds: float, stride: float) -> int:
    """Return how many windows a mean over so many seconds takes: one, and those within half of it on both sides."""
    half = int(seconds / stride / 2 + NOISE)
    return 2 * half + 1


class Smoother:
    """The mean over a window and as many neighbours on both sides.

    Windows without probabilities are left out of the mean, and stay without. At the ends the mean is over those
    neighbours that there are. A smoothed window is known when its later neighbours are: ``width // 2`` windows later.

    Args:
        width: how many windows the mean is over, odd; 1 changes nothing.
    """

    def __init__(self, width: int):
        self._half = width // 2
        self._rows: deque[Row] = deque()
        self._ahead = 0  # windows that have come, but are not smoothed yet

    def push(self, row: Row) -> list[Row]:
        """Take the next window; return the windows that are smoothed by that, none or one."""
        self._rows.append(row)
        self._ahead += 1

        # The first window that is not smoothed yet waits for its later neighbours.
        if self._ahead <= self._half:
            return []
        return [self._smoothed()]

    def finish(self) -> list[Row]:
        """Return the smoothed windows that are left, because no more come; begin anew."""
        smoothed = [self._smoothed() for _ in range(self._ahead)]
        self._rows.clear()
        return smoothed

    def _smoothed(self) -> Row:
        """Return the first window that is not smoothed yet, smoothed."""
        place = len(self._rows) - self._ahead
        row = self._rows[place]

        first = max(0, place - self._half)
        neighbours = list(self._rows)[first : place + self._half + 1]
        self._ahead -= 1

        # A window that is no neighbour of the next one is not needed any more.
        while len(self._rows) - self._ahead > self._half:
            self._rows.popleft()

        if row is None:
            return None
        readable = [neighbour for neighbour in neighbours if neighbour is not None]
        return np.mean(readable, axis=0)
