"""Intervals of differences between rows of a study: over seeds, and over seeds and videos."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95
POWER = 0.8
DRAWS = 10_000


class Interval(NamedTuple):
    """A mean, and between what it may lie.

    Attributes:
        mean: of what was measured.
        low, high: of the interval of 95 %.
    """

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval says that there is a difference."""
        return self.low > 0 or self.high < 0


def mean_interval(values: Sequence[float]) -> Interval | None:
    """Return the mean of independent values with Student's interval of 95 %; None of fewer than two values."""
    if len(values) < 2:
        return None
    mean = float(np.mean(values))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return Interval(mean, mean - half, mean + half)


def bootstrap_interval(differences: np.ndarray, groups: Sequence[str], seed: int = 0) -> Interval | None:
    """Return the mean of differences with its interval of 95 % over other seeds and other groups of videos.

    Seeds and groups are drawn again, independently of each other and with replacement (Owen 2007, "The pigeonhole
    bootstrap"), 10,000 times. Videos of one group stay together, as those of one speaker: they are no independent
    witnesses.

    Args:
        differences: float64 ``[S, V]`` of S seeds and V videos, NaN where a video could not be read.
        groups: of each video.
        seed: of the draws.

    Returns:
        None where there are fewer than two seeds or two groups.
    """
    names, places = np.unique(np.asarray(groups), return_inverse=True)
    if len(differences) < 2 or len(names) < 2:
        return None

    known = np.isfinite(differences)
    sums = np.zeros((len(differences), len(names)))
    counts = np.zeros_like(sums)
    for number, row in enumerate(differences):
        sums[number] = np.bincount(places, np.where(known[number], row, 0), len(names))
        counts[number] = np.bincount(places, known[number], len(names))

    generator = np.random.default_rng(seed)
    seed_weights = generator.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), DRAWS)
    group_weights = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)
    totals = np.einsum("ds,sg,dg->d", seed_weights, sums, group_weights, optimize=True)
    videos = np.einsum("ds,sg,dg->d", seed_weights, counts, group_weights, optimize=True)
    # A draw may take groups without a video that could be read.
    means = totals[videos > 0] / videos[videos > 0]
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(np.nanmean(differences)), float(low), float(high))


def detectable_difference(differences: Sequence[Sequence[float]]) -> float | None:
    """Return the smallest true difference that a comparison of so many seeds finds in four of five studies.

    The spread between seeds is pooled over all comparisons; the number of seeds is that of the fewest. The test is
    Student's, two-sided, at 5 %.

    Args:
        differences: of each comparison, one value for each seed.

    Returns:
        None where no comparison has two seeds.
    """
    usable = [np.asarray(values) for values in differences if len(values) >= 2]
    if not usable:
        return None
    freedom = sum(len(values) - 1 for values in usable)
    variance = sum(float(((values - values.mean()) ** 2).sum()) for values in usable) / freedom
    seeds = min(len(values) for values in usable)
    factor = stats.t.ppf((1 + LEVEL) / 2, seeds - 1) + stats.t.ppf(POWER, seeds - 1)
    return float(factor * math.sqrt(variance / seeds))
