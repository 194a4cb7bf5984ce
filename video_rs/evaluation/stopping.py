"""The rule by which adaptive views stop: where it may be set, and what it does on videos that it was not set by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta
from sklearn.model_selection import GroupKFold

CONFIDENCE = 0.95
"""Of the bound on the share of other answers (Clopper and Pearson 1934, one-sided)."""

FOLDS = 5


@dataclass(frozen=True)
class Looks:
    """What is known of each video after some of its views.

    Attributes:
        counts: after how many views, int64 ``[L]``; the last are all.
        decided: how surely the answer is that of all views, float64 ``[N, L]``; infinite behind all.
        same: whether it is that of all views, bool ``[N, L]``.
    """

    counts: np.ndarray
    decided: np.ndarray
    same: np.ndarray

    def part(self, places: np.ndarray) -> "Looks":
        """Return some of the videos."""
        return Looks(self.counts, self.decided[places], self.same[places])

    def stopped(self, stop_at: float) -> tuple[np.ndarray, np.ndarray]:
        """Return what a rule does with each video: whether its answer is that of all views, and after how many."""
        first = (self.decided >= stop_at).argmax(1)
        return self.same[np.arange(len(first)), first], self.counts[first]


def fit_stop(looks: Looks, error: float) -> float | None:
    """Return the lowest rule from which on up to ``error`` of the answers are others than those of all views.

    It holds with 95 % confidence on the videos that it is set by; None: none but to take all views does, or there are
    too few videos to know.

    Args:
        looks: of the videos.
        error: share of the answers, in (0, 1).
    """
    # From the strictest on: a rule holds where all stricter ones do, so that one lucky value is not picked out.
    found = None
    for stop_at in _candidates(looks):
        same, _ = looks.stopped(stop_at)
        if upper_bound(int((~same).sum()), len(same)) > error:
            break
        found = stop_at
    return found


def upper_bound(others: int, videos: int) -> float:
    """Return what the share of other answers is below, with 95 % confidence."""
    if others == videos:
        return 1.0
    return float(beta.ppf(CONFIDENCE, others + 1, videos - others))


def on_other_groups(looks: Looks, groups: Sequence[str], error: float) -> dict[str, float] | None:
    """Return what rules do on groups that they were not set by: ``{"same": share, "views": mean}``.

    Where no rule can be set without a fold, all views of its videos are taken. None of fewer than two groups.
    """
    groups = np.asarray(groups)
    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2:
        return None
    same = np.zeros(len(groups), bool)
    views = np.zeros(len(groups))
    for rest, fold in GroupKFold(folds).split(np.zeros(len(groups)), groups=groups):
        stop_at = fit_stop(looks.part(rest), error)
        if stop_at is None:
            stop_at = math.inf
        same[fold], views[fold] = looks.part(fold).stopped(stop_at)
    return {"same": float(same.mean()), "views": float(views.mean())}


def _candidates(looks: Looks) -> list[float]:
    """Return rules from the strictest to one that always stops at once."""
    finite = looks.decided[np.isfinite(looks.decided)]
    steps = np.quantile(finite, np.linspace(1, 0, 201)) if finite.size else []
    return list(dict.fromkeys(float(step) for step in steps))
