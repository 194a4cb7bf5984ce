"""How many frames of a video have the right label, by segments or by any other answer for each frame."""

from typing import NamedTuple

import numpy as np

from video_rs.evaluation.spans import Segments

NOTHING = -1
"""The label of time that shows none of the classes."""


class FrameCounts(NamedTuple):
    """How many frames were judged, and how many of them were right."""

    right: int
    frames: int

    @property
    def accuracy(self) -> float:
        """Return the share of right frames; NaN where no frame was judged."""
        if not self.frames:
            return float("nan")
        return self.right / self.frames


def count_frames(times: np.ndarray, predicted: np.ndarray, truth: Segments, annotated: np.ndarray) -> FrameCounts:
    """Count the frames of annotated time whose label is right.

    A frame of several classes is right with any of them, a frame that shows none with :data:`NOTHING`.

    Args:
        times: float64 ``[N]``, seconds of the frames.
        predicted: int64 ``[N]``, a class or :data:`NOTHING`.
        truth: of the video.
        annotated: float64 ``[A, 2]``, disjoint.
    """
    is_annotated = np.zeros(len(times), bool)
    for start, end in annotated:
        is_annotated[_frames_in(times, start, end)] = True

    shows_something = np.zeros(len(times), bool)
    is_right = np.zeros(len(times), bool)
    for (start, end), label in zip(truth.spans, truth.labels.tolist(), strict=True):
        frames = _frames_in(times, start, end)
        shows_something[frames] = True
        is_right[frames] |= predicted[frames] == label

    # Where nothing is shown, to say so is right.
    is_right |= ~shows_something & (predicted == NOTHING)
    return FrameCounts(int((is_right & is_annotated).sum()), int(is_annotated.sum()))


def labels_at(times: np.ndarray, found: Segments) -> np.ndarray:
    """Return what found segments say at each time: the class of the surest one, or :data:`NOTHING`; int64 ``[N]``.

    Args:
        times: float64 ``[N]``, rising.
        found: segments with scores.
    """
    labels = np.full(len(times), NOTHING, np.int64)
    # The surest one comes last, and stays.
    for segment in np.argsort(found.scores, kind="stable"):
        start, end = found.spans[segment]
        labels[_frames_in(times, start, end)] = found.labels[segment]
    return labels


def _frames_in(times: np.ndarray, start: float, end: float) -> slice:
    """Return which of rising times lie in ``[start, end)``."""
    return slice(*np.searchsorted(times, (start, end)).tolist())
