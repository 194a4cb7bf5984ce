"""Fitting a calibration, and judging it on groups of videos that it was not fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import GroupKFold

from video_rs.evaluation import calibration
from video_rs.evaluation.calibration import Threshold
from video_rs.evaluation.classification import log_losses
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

FOLDS = 5


@dataclass(frozen=True)
class ScoredVideos:
    """The videos that a calibration is fitted on.

    Attributes:
        views: of each video, float32 ``[V, K]`` with temperature 1.
        truth: bool ``[N, K]``.
        known: bool ``[N]``, False for the videos of classes that the network does not know, which have no truth. Where
            a video may have several classes, a known one may have none.
        groups: of each video.
        multi_label: whether a video may have several classes.
    """

    views: Sequence[np.ndarray]
    truth: np.ndarray
    known: np.ndarray
    groups: np.ndarray
    multi_label: bool

    def part(self, places: np.ndarray) -> "ScoredVideos":
        """Return some of the videos."""
        views = [self.views[place] for place in places]
        return replace(
            self, views=views, truth=self.truth[places], known=self.known[places], groups=self.groups[places]
        )

    def judged(self, temperature: float) -> tuple[np.ndarray, np.ndarray]:
        """Return how sure the network is of each video with a temperature, and whether it is right."""
        probabilities = calibration.mean_over_views(self.views, temperature, self.multi_label)
        best = probabilities.argmax(1)
        return probabilities.max(1), self.truth[np.arange(len(best)), best]

    def cross_entropy(self, temperature: float) -> np.ndarray:
        """Return the cross-entropy of each known video, in nats."""
        part = self.part(np.flatnonzero(self.known))
        probabilities = calibration.mean_over_views(part.views, temperature, self.multi_label)
        return log_losses(probabilities, part.truth, self.multi_label)


@dataclass(frozen=True)
class Fit:
    """A temperature and a threshold.

    Attributes:
        temperature: divides the logits.
        threshold: for "unsure"; None where none was asked for, or none holds the precision.
    """

    temperature: float
    threshold: Threshold | None

    @classmethod
    def on(cls, videos: ScoredVideos, precision: float | None) -> "Fit":
        """Fit both on some videos."""
        known = videos.part(np.flatnonzero(videos.known))
        temperature = calibration.fit_temperature(known.views, known.truth, videos.multi_label)
        if precision is None:
            return cls(temperature, None)
        confidence, right = videos.judged(temperature)
        return cls(temperature, calibration.precision_threshold(confidence, right, precision))


def calibrate(videos: ScoredVideos, precision: float | None) -> tuple[dict[str, Any], "OutOfFold | None"]:
    """Return the calibration of a network and how good it is on videos that it was not fitted on.

    Returns:
        What calibration.json holds, and each video as judged by a fit without its group; None of one group.

    Raises:
        InputError: no threshold holds the precision.
    """
    fit = Fit.on(videos, precision)
    if precision is not None and fit.threshold is None:
        raise InputError(_why_no_threshold(videos, fit.temperature, precision))

    judged = out_of_fold(videos, precision)
    known = videos.known
    confidence, right = videos.judged(1.0)
    before = {
        "cross_entropy": float(videos.cross_entropy(1.0).mean()),
        "calibration_error": calibration.calibration_error(confidence[known], right[known]),
    }
    content: dict[str, Any] = {
        "temperature": fit.temperature,
        "threshold": None,
        "videos": len(known),
        "unknown": int((~known).sum()),
        "before": before,
        "cross_fitted": None if judged is None else _on_other_groups(videos, judged, precision is not None),
    }
    if fit.threshold is not None:
        found = fit.threshold
        chosen = {"precision": found.precision, "bound": found.bound, "coverage": found.coverage}
        content |= {"threshold": found.confidence, "wanted_precision": precision, **chosen}
    return content, judged


def _why_no_threshold(videos: ScoredVideos, temperature: float, precision: float) -> str:
    """Return the refusal of a precision that nothing holds, with what could be had."""
    confidence, right = videos.judged(temperature)
    best = max(calibration.possible_thresholds(confidence, right), key=attrgetter("bound"))
    hits = round(best.precision * best.answers)
    return (
        f"--precision {precision:g}: no threshold holds it on {pluralize(len(right), 'video')}; the best that is held "
        f"is {best.bound:.3f}, by {hits} right of the {best.answers} surest; give more videos, or a lower precision"
    )


class OutOfFold(NamedTuple):
    """Each video judged by a fit without its group.

    Attributes:
        confidence: of the best class, float64 ``[N]``.
        right: whether it is a true one, bool ``[N]``.
        answered: whether it is at the fit's threshold or above, bool ``[N]``; nowhere without a threshold.
        losses: cross-entropy in nats, float64 ``[N]``; 0, which means nothing, for a video that is not known.
    """

    confidence: np.ndarray
    right: np.ndarray
    answered: np.ndarray
    losses: np.ndarray


def out_of_fold(videos: ScoredVideos, precision: float | None) -> OutOfFold | None:
    """Return each video as judged by a fit without its group; None of fewer than two groups.

    The groups are dealt into five folds, or as many as there are groups; each is judged by the fit of the others.
    """
    folds = fold_count(videos)
    if folds < 2:
        return None
    count = len(videos.views)
    found = OutOfFold(np.zeros(count), np.zeros(count, bool), np.zeros(count, bool), np.zeros(count))
    for rest, fold in GroupKFold(folds).split(np.zeros(count), groups=videos.groups):
        fitted = videos.part(rest)
        # Where all known videos are of one group, the others say nothing of temperatures.
        fit = Fit.on(fitted, precision) if fitted.known.any() else Fit(1.0, None)
        part = videos.part(fold)
        found.confidence[fold], found.right[fold] = part.judged(fit.temperature)
        if part.known.any():
            found.losses[fold[part.known]] = part.cross_entropy(fit.temperature)
        if fit.threshold is not None:
            found.answered[fold] = found.confidence[fold] >= fit.threshold.confidence
    return found


def fold_count(videos: ScoredVideos) -> int:
    """Return into how many folds the groups are dealt."""
    return min(FOLDS, len(np.unique(videos.groups)))


def _on_other_groups(videos: ScoredVideos, judged: OutOfFold, has_threshold: bool) -> dict[str, Any]:
    """Return how good calibrations are on groups that they were not fitted on."""
    known = videos.known
    found: dict[str, Any] = {
        "folds": fold_count(videos),
        "cross_entropy": float(judged.losses[known].mean()),
        "calibration_error": calibration.calibration_error(judged.confidence[known], judged.right[known]),
    }
    if has_threshold:
        answered = judged.answered
        answers = int(answered.sum())
        found["answers"] = answers
        found["precision"] = float(judged.right[answered].mean()) if answers else None
        found["coverage"] = float(answered[known].mean())
        if (~known).any():
            found["unknown_unsure"] = float(1 - answered[~known].mean())
    return found
