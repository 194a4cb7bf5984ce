"""Two networks on the same videos."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from video_rs.evaluation.intervals import Interval, bootstrap, weighted_mean


class Comparison(NamedTuple):
    """What differs between two networks on the same videos.

    Attributes:
        videos: how many were compared.
        gained: places of the videos that only the second one has right.
        lost: places of those that only the first one has right.
        p_value: how probable so uneven a split of the changed videos is where both are equally good (McNemar's exact
            test, two-sided).
        accuracy: difference of their accuracies, second minus first, with its interval over groups; None of one group.
        cross_entropy: difference of their mean cross-entropies, likewise: below 0 the second is surer of the truth.
    """

    videos: int
    gained: np.ndarray
    lost: np.ndarray
    p_value: float
    accuracy: Interval | None
    cross_entropy: Interval | None


def compare(
    right: tuple[np.ndarray, np.ndarray], losses: tuple[np.ndarray, np.ndarray], groups: Sequence[str]
) -> Comparison:
    """Compare two networks video by video.

    Args:
        right: of the first and of the second one, whether each video's best class is true, ``[N]``.
        losses: of both, the cross-entropy of each video in nats, ``[N]``.
        groups: of each video.
    """
    first, second = (np.asarray(part, bool) for part in right)
    gained = np.flatnonzero(second & ~first)
    lost = np.flatnonzero(first & ~second)
    changed = len(gained) + len(lost)
    p_value = 1.0
    if changed:
        p_value = float(stats.binomtest(len(gained), changed).pvalue)

    accuracy = bootstrap(weighted_mean(second.astype(np.float64) - first), groups)
    cross_entropy = bootstrap(weighted_mean(losses[1] - losses[0]), groups)
    return Comparison(len(first), gained, lost, p_value, accuracy, cross_entropy)
