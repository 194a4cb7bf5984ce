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
from video_rs.evaluation.spans import Segments, overlaps

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)


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

    # Two segments without any length have a union of 0, and share nothing of it.
    smallest = np.finfo(np.float64).tiny
    return shared / np.maximum(union, smallest)


def match_class(video: JudgedVideo, label: int, thresholds: Sequence[float]) -> Matches:
    """Return which found segments of a class are right in a video."""
    found = video.found.of_class(label)
    truth = video.truth.of_class(label)

    # A segment that lies where nobody annotated is neither right nor wrong.
    seconds_judged = overlaps(found.spans, video.annotated).sum(axis=1)
    spans = found.spans[seconds_judged > 0]
    scores = found.scores[seconds_judged > 0]

    ious = temporal_iou(spans, truth.spans, video.annotated)
    surest_first = np.argsort(-scores, kind="stable")
    hits = np.zeros((len(thresholds), len(spans)), bool)
    for row, threshold in zip(hits, thresholds, strict=True):
        row[:] = _taken(ious, surest_first, threshold)
    return Matches(scores, hits, len(truth.spans))


def _taken(ious: np.ndarray, order: np.ndarray, threshold: float) -> np.ndarray:
    """Return which found segments take a true one, each true segment being taken once.

    Args:
        ious: float64 ``[P, G]``.
        order: int64 ``[P]``, in which the found segments are asked.
        threshold: that their IoU has to reach.

    Returns:
        bool ``[P]``.
    """
    found, true = ious.shape
    hits = np.zeros(found, bool)
    free = np.ones(true, bool)
    for segment in order:
        candidates = np.where(free, ious[segment], -1.0)
        best = candidates.max(initial=-1.0)
        if best >= threshold:
            hits[segment] = True
            free[candidates.argmax()] = False
    return hits


def interpolated_precision(scores: np.ndarray, hits: np.ndarray, positives: int) -> float:
    """Return the average precision of found segments.

    Args:
        scores: float64 ``[P]``.
        hits: bool ``[P]``.
        positives: number of segments of the truth, at least 1.
    """
    right = hits[np.argsort(-scores, kind="stable")]
    true_positives = np.cumsum(right)
    ranks = np.arange(1, len(right) + 1)
    precision = true_positives / ranks

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
    # A class that the truth does not have has no recall; what was found of it is not judged.
    true_labels = set()
    for of_video in matched:
        true_labels |= {label for label, matches in of_video.items() if matches.positives}
    labels = sorted(true_labels)

    precisions = np.zeros((len(thresholds), len(labels)))
    for column, label in enumerate(labels):
        # Segments of all videos are ranked together.
        of_class = [of_video[label] for of_video in matched if label in of_video]
        scores = np.concatenate([part.scores for part in of_class])
        hits = np.concatenate([part.hits for part in of_class], axis=1)
        positives = sum(part.positives for part in of_class)

        for row in range(len(thresholds)):
            precisions[row, column] = interpolated_precision(scores, hits[row], positives)
    return Detection(tuple(thresholds), tuple(labels), precisions)


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
