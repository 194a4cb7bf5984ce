"""Intervals of differences between rows of a study: over seeds, and over seeds and videos."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from video_rs.evaluation.intervals import LEVEL, ROUNDING, Interval

POWER = 0.8
DRAWS = 10_000


def note_on_several(count: int, things: str) -> list[str]:
    """Return a sentence on as many intervals in one study, such as those of ``steps``; none about fewer than two."""
    if count < 2:
        return []
    chance = 1 - LEVEL**count
    return [
        f"The intervals are of one comparison each: of {count} {things} without any effect, at least one shows one in "
        f"about {100 * chance:.0f} of 100 studies."
    ]


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
    witnesses. Draws from few seeds, or few groups, spread too little: their percentiles are moved away from the mean,
    as far as Student's t reaches beyond the normal distribution (see :func:`_stretch`).

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
    mean = float(np.nanmean(differences))
    low, high = mean + _stretch(sums, counts) * (np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)) - mean)
    return Interval(mean, float(low), float(high))


def _stretch(sums: np.ndarray, counts: np.ndarray) -> float:
    """Return by how much the percentiles of the draws have to be further away from the mean.

    The variance of the mean is that between seeds and that between groups. Its degrees of freedom are Satterthwaite's
    (1946), those of a sum of two variances. Draws with replacement from n values have ``(n - 1) / n`` of their
    variance.

    Args:
        sums, counts: of the differences of each seed and group, float64 ``[S, G]``.
    """
    seeds, groups = sums.shape
    mean = sums.sum() / counts.sum()
    between_seeds = _mean_variance(sums.sum(axis=1), counts.sum(axis=1), mean)
    between_groups = _mean_variance(sums.sum(axis=0), counts.sum(axis=0), mean)
    variance = between_seeds + between_groups
    if variance == 0:
        return 1.0

    freedom = variance**2 / (between_seeds**2 / (seeds - 1) + between_groups**2 / (groups - 1))
    drawn_variance = between_seeds * (seeds - 1) / seeds + between_groups * (groups - 1) / groups
    reach = stats.t.ppf((1 + LEVEL) / 2, freedom) * math.sqrt(variance / drawn_variance)
    return float(reach / stats.norm.ppf((1 + LEVEL) / 2))


def _mean_variance(sums: np.ndarray, counts: np.ndarray, mean: float) -> float:
    """Return the variance of a mean over units, each with a sum of so many values."""
    away = sums - mean * counts
    return float((away**2).sum() / counts.sum() ** 2 * len(sums) / (len(sums) - 1))


def detectable_difference(differences: Sequence[Sequence[float]]) -> float | None:
    """Return the smallest true difference that a comparison of so many seeds finds in four of five studies.

    The spread between seeds is pooled over all comparisons; the number of seeds is that of the fewest. The test is
    Student's, two-sided, at 5 %. The difference is 0 where each comparison gave the same with all seeds.

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
    if variance < ROUNDING**2:
        return 0.0

    seeds = min(len(values) for values in usable)
    factor = stats.t.ppf((1 + LEVEL) / 2, seeds - 1) + stats.t.ppf(POWER, seeds - 1)
    return float(factor * math.sqrt(variance / seeds))
