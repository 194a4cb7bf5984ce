"""Between what a number may lie: bootstrap over videos, or over groups of videos that are no independent witnesses."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95
DRAWS = 1000
ROUNDING = 1e-9
"""Accuracies and losses that are closer to each other are the same: the rest is rounding."""


class Interval(NamedTuple):
    """A number, and between what it may lie.

    Attributes:
        mean: what was measured.
        low, high: of the interval of 95 %.
    """

    mean: float
    low: float
    high: float

    @property
    def has_width(self) -> bool:
        """Whether the values differed; where all were the same, nothing is known of how far they spread."""
        return self.high - self.low > ROUNDING

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval says that there is a difference."""
        return self.has_width and (self.low > 0 or self.high < 0)


def bootstrap(
    statistic: Callable[[np.ndarray], float], groups: Sequence[str], draws: int = DRAWS, seed: int = 0
) -> Interval | None:
    """Return a number with its interval of 95 % over other groups of videos (Efron 1979, percentiles).

    Args:
        statistic: weights of the videos, float64 ``[N]`` -> the number; NaN where such weights leave it undefined.
        groups: of each video; the videos of a group are drawn together.
        draws: how often groups are drawn again.
        seed: of the draws.

    Returns:
        None where there are fewer than two groups.
    """
    names, places = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < 2:
        return None

    generator = np.random.default_rng(seed)
    shares = np.full(len(names), 1 / len(names))
    values = []
    for _ in range(draws):
        weights = generator.multinomial(len(names), shares)
        values.append(statistic(weights[places].astype(np.float64)))
    low, high = np.nanquantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(statistic(np.ones(len(places)))), float(low), float(high))


def weighted_mean(values: np.ndarray) -> Callable[[np.ndarray], float]:
    """Return the statistic that is the mean of values ``[N]``."""

    def mean(weights: np.ndarray) -> float:
        total = weights.sum()
        return float(weights @ values / total) if total > 0 else float("nan")

    return mean


def wilson(hits: int, trials: int) -> Interval:
    """Return a share with its interval of 95 % (Wilson 1927), which holds where a share is near 0 or 1, too.

    Args:
        hits: of the trials.
        trials: at least 1; independent ones.
    """
    bounds = stats.binomtest(hits, trials).proportion_ci(LEVEL, method="wilson")
    return Interval(hits / trials, float(bounds.low), float(bounds.high))
