"""How well segments are found: average precision at temporal IoU as ActivityNet's evaluation defines it.

Caba Heilbron et al. 2015, "ActivityNet: A Large-Scale Video Benchmark for Human Activity Understanding"; the
definitions are those of its public ``eval_detection.py``. Found segments are taken by falling score. Each is right
where its IoU with a segment of the truth, of the same class in the same video, reaches the threshold and no segment
before it has taken that one; of several such segments the one with the highest IoU is taken. Average precision is the
area under the interpolated precision-recall curve; mAP is the mean over the classes that the truth has.

Time that nobody annotated is not scored: it counts neither for nor against a segment that reaches into it, and a
segment that lies in it wholly is left out. Where all time is annotated, the numbers are ActivityNet's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from video_rs.evaluation.intervals import Interval, bootstrap

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
NOTHING = -1
"""The label of time that shows none of the classes."""


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
        is_of_class = self.labels == label
        return Segments(*(values[is_of_class] for values in self))


@dataclass(frozen=True)
class JudgedVideo:
    """What was found in a video, and what is there.

    Attributes:
        found: segments with scores.
        truth: segments.
        annotated: float64 ``[A, 2]``, disjoint spans of time, rising, that somebody annotated; the truth lies in them.
    """

    found: Segments
    truth: Segments
    annotated: np.ndarray


class Matches(NamedTuple):
    """The found segments of one class in one video.

    Attributes:
        scores: float64 ``[P]``.
        hits: bool ``[H, P]``, whether each is right at each of H thresholds.
        positives: number of segments of the truth.
    """

    scores: np.ndarray
    hits: np.ndarray
    positives: int


@dataclass(frozen=True)
class Detection:
    """How well segments are found.

    Attributes:
        thresholds: of the IoU.
        labels: the classes that the truth has, rising.
        precisions: float64 ``[H, C]``, average precision at each threshold of each of these classes.
    """

    thresholds: tuple[float, ...]
    labels: tuple[int, ...]
    precisions: np.ndarray

    @property
    def maps(self) -> np.ndarray:
        """Return mAP at each threshold, float64 ``[H]``; NaN where the truth is empty."""
        if not self.labels:
            return np.full(len(self.thresholds), np.nan)
        return self.precisions.mean(axis=1)

    @property
    def mean_map(self) -> float:
        """Return the mean of mAP over the thresholds."""
        return float(self.maps.mean())


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


def temporal_iou(found: np.ndarray, truth: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """Return intersection over union in annotated time.

    Args:
        found: float64 ``[P, 2]``.
        truth: float64 ``[G, 2]``, within annotated time.
        annotated: float64 ``[A, 2]``, disjoint.

    Returns:
        float64 ``[P, G]``.
    """
    shared = overlaps(found, truth)
    seconds_found = overlaps(found, annotated).sum(axis=1)
    seconds_true = truth[:, 1] - truth[:, 0]
    union = seconds_found[:, None] + seconds_true[None, :] - shared
    return shared / np.maximum(union, np.finfo(np.float64).tiny)


def match_class(video: JudgedVideo, label: int, thresholds: Sequence[float]) -> Matches:
    """Return which found segments of a class are right in a video."""
    found = video.found.of_class(label)
    truth = video.truth.of_class(label)
    is_scored = overlaps(found.spans, video.annotated).sum(axis=1) > 0
    spans = found.spans[is_scored]
    scores = found.scores[is_scored]

    ious = temporal_iou(spans, truth.spans, video.annotated)
    hits = np.zeros((len(thresholds), len(spans)), bool)
    for row, threshold in zip(hits, thresholds, strict=True):
        free = np.ones(len(truth.spans), bool)
        for segment in np.argsort(-scores, kind="stable"):
            candidates = np.where(free, ious[segment], -1.0)
            if candidates.size and candidates.max() >= threshold:
                row[segment] = True
                free[candidates.argmax()] = False
    return Matches(scores, hits, len(truth.spans))


def interpolated_precision(scores: np.ndarray, hits: np.ndarray, positives: int) -> float:
    """Return the average precision of found segments.

    Args:
        scores: float64 ``[P]``.
        hits: bool ``[P]``.
        positives: number of segments of the truth, at least 1.
    """
    right = hits[np.argsort(-scores, kind="stable")]
    true_positives = np.cumsum(right)
    precision = true_positives / np.arange(1, len(right) + 1)
    # At each recall the highest precision at that recall or a higher one counts.
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[right].sum() / positives)


def evaluate_detection(videos: Sequence[JudgedVideo], thresholds: Sequence[float] = THRESHOLDS) -> Detection:
    """Return how well the segments of some videos are found."""
    return summarize_matches(match_videos(videos, thresholds), thresholds)


def match_videos(videos: Sequence[JudgedVideo], thresholds: Sequence[float]) -> list[dict[int, Matches]]:
    """Return for each video: class -> its matches, for the classes that are found or true there."""
    matched = []
    for video in videos:
        labels = sorted({*video.found.labels.tolist(), *video.truth.labels.tolist()})
        matched.append({label: match_class(video, label, thresholds) for label in labels})
    return matched


def summarize_matches(matched: Sequence[dict[int, Matches]], thresholds: Sequence[float]) -> Detection:
    """Return how well segments are found, from the matches of each video."""
    labels = sorted({label for of_video in matched for label, of_class in of_video.items() if of_class.positives})
    precisions = np.zeros((len(thresholds), len(labels)))
    for column, label in enumerate(labels):
        of_class = [of_video[label] for of_video in matched if label in of_video]
        scores = np.concatenate([part.scores for part in of_class])
        hits = np.concatenate([part.hits for part in of_class], axis=1)
        positives = sum(part.positives for part in of_class)
        for row in range(len(thresholds)):
            precisions[row, column] = interpolated_precision(scores, hits[row], positives)
    return Detection(tuple(thresholds), tuple(labels), precisions)


class FrameCounts(NamedTuple):
    """How many frames were judged, and how many of them were right."""

    right: int
    frames: int

    @property
    def accuracy(self) -> float:
        """Return the share of right frames; NaN where no frame was judged."""
        return self.right / self.frames if self.frames else float("nan")


def count_frames(times: np.ndarray, predicted: np.ndarray, truth: Segments, annotated: np.ndarray) -> FrameCounts:
    """Count the frames of annotated time whose label is right.

    A frame of several classes is right with any of them, a frame that shows none with :data:`NOTHING`.

    Args:
        times: float64 ``[N]``, seconds of the frames.
        predicted: int64 ``[N]``, a class or :data:`NOTHING`.
        truth: of the video.
        annotated: float64 ``[A, 2]``, disjoint.
    """
    annotated_frames = np.zeros(len(times), bool)
    for start, end in annotated:
        annotated_frames[_frames_in(times, start, end)] = True

    shows_something = np.zeros(len(times), bool)
    is_right = np.zeros(len(times), bool)
    for (start, end), label in zip(truth.spans, truth.labels.tolist(), strict=True):
        frames = _frames_in(times, start, end)
        shows_something[frames] = True
        is_right[frames] |= predicted[frames] == label

    is_right |= ~shows_something & (predicted == NOTHING)
    return FrameCounts(int((is_right & annotated_frames).sum()), int(annotated_frames.sum()))


def labels_at(times: np.ndarray, found: Segments) -> np.ndarray:
    """Return what found segments say at each time: the class of the surest one, or :data:`NOTHING`; int64 ``[N]``.

    Args:
        times: float64 ``[N]``, rising.
        found: segments with scores.
    """
    labels = np.full(len(times), NOTHING, np.int64)
    for segment in np.argsort(found.scores, kind="stable"):
        start, end = found.spans[segment]
        labels[_frames_in(times, start, end)] = found.labels[segment]
    return labels


def _frames_in(times: np.ndarray, start: float, end: float) -> slice:
    """Return which of rising times lie in ``[start, end)``."""
    return slice(*np.searchsorted(times, (start, end)).tolist())


def map_interval(
    matched: Sequence[dict[int, Matches]], thresholds: Sequence[float], groups: Sequence[str]
) -> Interval | None:
    """Return the mean mAP over the thresholds with its interval over other groups of videos.

    Args:
        matched: of :func:`match_videos`.
        thresholds: of the IoU.
        groups: of each video, see :func:`video_rs.evaluation.intervals.bootstrap`.

    Returns:
        None where there are fewer than two groups, or the truth is empty.
    """

    def mean_map(weights: np.ndarray) -> float:
        drawn = np.repeat(np.arange(len(matched)), weights.astype(np.int64))
        return summarize_matches([matched[video] for video in drawn], thresholds).mean_map

    if not summarize_matches(matched, thresholds).labels:
        return None
    return bootstrap(mean_map, groups)
