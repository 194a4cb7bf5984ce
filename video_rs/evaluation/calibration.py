"""Whether a probability says how often the network is right, and what makes it say so (Guo et al. 2017)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

from video_rs.evaluation.classification import log_losses
from video_rs.evaluation.intervals import LEVEL

BINS = 15
"""Of the reliability curve; as many as Guo et al. take."""
# A temperature beyond these is no temperature: all classes alike, or all probabilities 0 and 1.
COLDEST = 0.05
HOTTEST = 20.0
# Logarithms of probabilities that float32 has made 0.
SMALLEST = 1e-30
ROUNDING = 1e-6
"""Confidences that are closer to each other are the same: prediction sums float32 in other batches."""


class Bin(NamedTuple):
    """Videos of about the same confidence.

    Attributes:
        low, high: between what their confidence lies, ``low`` not included.
        videos: how many.
        confidence: its mean.
        accuracy: share of them that is right.
    """

    low: float
    high: float
    videos: int
    confidence: float
    accuracy: float


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Return the bins of equal width that hold a video.

    Args:
        confidence: of the best class, float ``[N]`` in [0, 1].
        right: whether it is the true one, ``[N]``.
        bins: how many between 0 and 1.
    """
    places = _bins_of(confidence, bins)
    found = []
    for place in np.unique(places):
        inside = places == place
        mean = float(confidence[inside].mean(dtype=np.float64))
        share = float(right[inside].mean(dtype=np.float64))
        found.append(Bin(place / bins, (place + 1) / bins, int(inside.sum()), mean, share))
    return found


def calibration_error(
    confidence: np.ndarray, right: np.ndarray, weights: np.ndarray | None = None, bins: int = BINS
) -> float:
    """Return the expected calibration error: the mean distance of confidence and accuracy over the bins, in [0, 1].

    Args:
        confidence, right, bins: as for :func:`reliability`.
        weights: of the videos, ``[N]``; None: all alike.
    """
    if weights is None:
        weights = np.ones(len(confidence))
    total = weights.sum()
    if not total:
        return float("nan")
    gaps = np.bincount(_bins_of(confidence, bins), weights * (confidence - right), bins)
    return float(np.abs(gaps).sum() / total)


def _bins_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """Return the bin of each video; each bin holds its upper end."""
    return np.clip(np.ceil(confidence.astype(np.float64) * bins).astype(np.int64) - 1, 0, bins - 1)


def with_temperature(view_probabilities: np.ndarray, temperature: float, multi_label: bool) -> np.ndarray:
    """Return what probabilities of views would have been with a temperature: they have those of temperature 1.

    Args:
        view_probabilities: float ``[..., K]``.
        temperature: divides the logits.
        multi_label: sigmoids of the logits, not their softmax.

    Returns:
        float64 ``[..., K]``.
    """
    known = np.clip(view_probabilities.astype(np.float64), SMALLEST, None)
    if multi_label:
        # float32 has no number between 1 - 6e-8 and 1.
        return special.expit(special.logit(np.clip(known, None, 1 - 2**-25)) / temperature)
    return special.softmax(np.log(known) / temperature, axis=-1)


def fit_temperature(view_probabilities: Sequence[np.ndarray], truth: np.ndarray, multi_label: bool) -> float:
    """Return the temperature of the least cross-entropy of videos, whose probability is the mean over their views.

    Args:
        view_probabilities: of each video, float ``[V, K]`` made with temperature 1.
        truth: bool ``[N, K]``.
        multi_label: a video may have several classes.
    """

    def loss(log_temperature: float) -> float:
        means = mean_over_views(view_probabilities, float(np.exp(log_temperature)), multi_label)
        return float(log_losses(means, truth, multi_label).mean())

    found = optimize.minimize_scalar(
        loss, bounds=(np.log(COLDEST), np.log(HOTTEST)), method="bounded", options={"xatol": 1e-5}
    )
    return float(np.exp(found.x))


def mean_over_views(view_probabilities: Sequence[np.ndarray], temperature: float, multi_label: bool) -> np.ndarray:
    """Return the probabilities of videos with a temperature, float64 ``[N, K]``."""
    # One array for all views of all videos: a call for each video would take minutes of thousands of them.
    views = np.concatenate(view_probabilities)
    starts = np.cumsum([0, *(len(part) for part in view_probabilities[:-1])])
    sums = np.add.reduceat(with_temperature(views, temperature, multi_label), starts)
    return sums / np.array([[len(part)] for part in view_probabilities])


class Threshold(NamedTuple):
    """From which confidence on an answer is given.

    Attributes:
        confidence: the threshold, a little below the least sure answer: rounding must not make that one unsure.
        precision: share of the answers that is right, among the videos it was chosen on.
        bound: which the precision is not below, with 95 % confidence for this one threshold.
        coverage: share of the videos that are answered.
        answers: how many.
    """

    confidence: float
    precision: float
    bound: float
    coverage: float
    answers: int


def precision_threshold(confidence: np.ndarray, right: np.ndarray, wanted: float) -> Threshold | None:
    """Return the lowest threshold whose precision is at least ``wanted`` by its lower confidence bound.

    It is the best of many, which makes its own bound a little too good: what it holds on other videos is seen by
    choosing it on some groups of videos and counting on the others.

    Args:
        confidence: of the best class of each video, ``[N]``.
        right: whether it is the true class, bool ``[N]``; False for a video of no known class.
        wanted: in (0, 1).

    Returns:
        None where no threshold holds it.
    """
    found = None
    for place in possible_thresholds(confidence, right):
        if place.bound >= wanted:
            found = place
    return found


def possible_thresholds(confidence: np.ndarray, right: np.ndarray) -> list[Threshold]:
    """Return all thresholds that tell videos apart, the highest first.

    Videos of one confidence are answered together. A cold temperature makes many of them: all within rounding of 1.

    Args:
        confidence, right: as for :func:`precision_threshold`.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    correct = np.cumsum(right[order])
    # A threshold lies where the confidence changes.
    is_last = np.append(ranked[:-1] - ranked[1:] > ROUNDING, True)

    thresholds = []
    for place in np.flatnonzero(is_last):
        answers = int(place) + 1
        hits = int(correct[place])
        least = max(0.0, float(ranked[place]) - ROUNDING / 2)
        thresholds.append(Threshold(least, hits / answers, lower_bound(hits, answers), answers / len(ranked), answers))
    return thresholds


def lower_bound(right: int, answers: int) -> float:
    """Return what a share is not below with 95 % confidence, one-sided (Clopper and Pearson 1934)."""
    if right == 0:
        return 0.0
    return float(stats.beta.ppf(1 - LEVEL, right, answers - right + 1))
