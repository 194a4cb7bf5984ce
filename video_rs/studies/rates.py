"""What the time of runs goes into, as far as some of them tell."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from video_rs.studies.work import Work

ALIKE = 1.5  # networks whose multiply-adds differ by less, as a ratio, do not tell what else takes time


@dataclass(frozen=True)
class Rates:
    """What takes time.

    Attributes:
        clip: seconds for a clip, whatever the network is.
        gmac: seconds for 10^9 multiply-adds.
    """

    clip: float
    gmac: float

    def seconds(self, work: Work) -> float:
        """Return how long some work takes."""
        return self.clip * work.passes + self.gmac * work.total


def fit_rates(works: Sequence[Work], seconds: Sequence[float]) -> Rates:
    """Return what works take their time for: the least relative squares; neither is below zero.

    Args:
        works: that have been done.
        seconds: that each has taken.
    """
    sizes = [work.gmac for work in works]
    if max(sizes) <= ALIKE * min(sizes):
        each = (taken / work.total for taken, work in zip(seconds, works, strict=True))
        return Rates(0.0, statistics.median(each))

    amounts = np.array([(work.passes, work.total) for work in works])
    rates, _ = scipy.optimize.nnls(amounts / np.array(seconds)[:, None], np.ones(len(works)))
    return Rates(*map(float, rates))
