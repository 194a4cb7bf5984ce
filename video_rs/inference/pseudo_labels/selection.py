"""Which pseudo-labelled videos a student learns from, and how often (Noisy Student, Xie et al. 2020, section 3.1).

Noisy Student keeps images whose best class has a probability above 0.3, takes at most 130,000 of each class, the
surest ones, and repeats images of classes that have fewer.
"""

from dataclasses import dataclass

import numpy as np

from video_rs.runtime.errors import InputError


@dataclass(frozen=True)
class Balance:
    """What is taken of each class.

    Attributes:
        threshold: least probability of the best class.
        most: videos of a class at most, the surest ones; 0: all.
        repeats: how often a video of a rare class may stand in the list.
    """

    threshold: float = 0.3
    most: int = 0
    repeats: int = 1

    def check(self) -> None:
        """Raise InputError for a number out of range."""
        if not 0 <= self.threshold <= 1:
            raise InputError(f"--threshold is {self.threshold:g}; allowed: a probability from 0 to 1, such as 0.3")
        if self.most < 0:
            raise InputError(f"--per-class is {self.most}; allowed: a whole number from 1 on, or 0 for all")
        if self.repeats < 1:
            raise InputError(f"--repeat is {self.repeats}; allowed: a whole number, at least 1 (no repetition)")


def select(labels: np.ndarray, confidences: np.ndarray, balance: Balance) -> list[int]:
    """Return the places of the chosen videos: class by class, the surest first, then those that are repeated.

    A class is filled up to ``balance.most``, or without that to the size of the largest class.

    Args:
        labels: int64 ``[N]``, the class of each video; -1: it is not to be taken.
        confidences: float64 ``[N]``.
        balance: what is taken.
    """
    chosen: dict[int, list[int]] = {}
    # Of equal ones the first in the list.
    for place in np.argsort(-confidences, kind="stable").tolist():
        label = int(labels[place])
        if label < 0 or confidences[place] < balance.threshold:
            continue
        of_class = chosen.setdefault(label, [])
        if not balance.most or len(of_class) < balance.most:
            of_class.append(place)

    largest = max(map(len, chosen.values()), default=0)
    target = balance.most or largest
    places = []
    for label in sorted(chosen):
        of_class = chosen[label]
        count = max(len(of_class), min(target, balance.repeats * len(of_class)))
        places += [of_class[number % len(of_class)] for number in range(count)]
    return places
