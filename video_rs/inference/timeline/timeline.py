"""The timeline of a video: its windows with their best classes, and its segments."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from video_rs.inference.timeline.segments import Segment, SegmentRules
from video_rs.inference.timeline.window_log import WindowTable

UNSURE = "unsure"


@dataclass(frozen=True)
class LiveFacts:
    """What became of a live stream.

    Attributes:
        began: date and time of second 0, in ISO 8601.
        frames: how many came whole.
        damaged: how many came damaged, and were left out.
        dropped: how many of the others were in no window because scoring was too slow for them.
        reconnected: how often the stream came back after it had broken.
        ending: why no frames come any more; "" while they do.
    """

    began: str
    frames: int
    damaged: int
    dropped: int
    reconnected: int
    ending: str


@dataclass(frozen=True)
class Timeline:
    """What happens when in a video.

    Attributes:
        video: as it was given.
        start, end: seconds of the video that were looked at.
        fps: frames per second of the video.
        label_names: of the classes, in their order.
        rules: by which segments were made.
        smoothing: seconds that the probabilities were averaged over.
        stride: seconds from a window to the next.
        threshold: a segment or a window with a lower probability is unsure; None: none is.
        windows: with their best classes.
        segments: in the order of their starts.
        unread: why some windows have no probabilities, "" where all have.
        live: of a live stream, what became of it; its windows and segments are the latest, if there are very many.
    """

    video: str
    start: float
    end: float
    fps: float
    label_names: Sequence[str]
    rules: SegmentRules
    smoothing: float
    stride: float
    threshold: float | None
    windows: WindowTable
    segments: tuple[Segment, ...]
    unread: str = ""
    live: LiveFacts | None = None

    @property
    def seconds(self) -> float:
        """Return how much of the video was looked at."""
        return self.end - self.start

    def part_of(self, start: float | None, end: float | None) -> tuple[float, float]:
        """Return what was looked at of a part of the video; None is the video's own start or end.

        The end is not after the start where nothing was.
        """
        first = max(self.start, start or 0.0)
        if end is None:
            return first, self.end
        return first, min(self.end, end)

    def best_classes_at(self, times: np.ndarray) -> np.ndarray:
        """Return the best class, after smoothing, of the window whose centre is nearest to each time.

        Args:
            times: float64 ``[N]``, seconds of the video.

        Returns:
            int64 ``[N]``; -1 where that window could not be read.
        """
        centres = self.windows.centres
        borders = (centres[1:] + centres[:-1]) / 2
        nearest = np.searchsorted(borders, times, side="right")

        best = self.windows.smoothed.labels[nearest, 0]
        scores = self.windows.smoothed.scores[nearest, 0]
        return np.where(np.isnan(scores), -1, best)

    def is_unsure(self, score: float) -> bool:
        """Return whether a probability is below the threshold."""
        return self.threshold is not None and score < self.threshold

    def name(self, segment: Segment) -> str:
        """Return what is said of a segment: the name of its class, or "unsure"."""
        if self.is_unsure(segment.score):
            return UNSURE
        return self.label_names[segment.label]
