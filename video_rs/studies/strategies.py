"""Ways to grow a network compared: one axis alone, and two axes at equal compute."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy import stats

from video_rs.studies.intervals import LEVEL, Interval
from video_rs.studies.scaling_results import MeasuredPoint, pooled_spread

STRATEGIES = {"depth": "depth", "width": "width", "size": "resolution", "frames": "frames"}
"""Axis of a point -> what growing it alone is called."""
EQUAL = 1.25
"""Two points are of equal compute when the GMAC of one are at most so many times those of the other."""


def alone(points: Sequence[MeasuredPoint], axis: str) -> list[MeasuredPoint]:
    """Return the points that differ from the smallest one in an axis alone, that one included, by compute.

    Args:
        points: of one length of training.
        axis: one of :data:`STRATEGIES`.
    """
    smallest = min(points, key=lambda point: point.gmac)
    others = [name for name in STRATEGIES if name != axis]
    line = []
    for point in points:
        if all(getattr(point.point, name) == getattr(smallest.point, name) for name in others):
            line.append(point)
    return sorted(line, key=lambda point: point.gmac)


@dataclass(frozen=True)
class Contrast:
    """A difference between two ways to spend the same compute.

    Attributes:
        difference: mean of the measure by the first way minus that by the second; below 0 the first is better.
        interval: of 95 %, from the spread between seeds; None where no point has two seeds.
        low, high: between which GMAC they were compared.
    """

    difference: float
    interval: Interval | None
    low: float
    high: float


def compare_lines(first: Sequence[MeasuredPoint], second: Sequence[MeasuredPoint], measure: str) -> Contrast | None:
    """Return the mean difference of two lines over the compute that both have, interpolated over its logarithm.

    Returns:
        None where a line has one point, or they have no compute in common.
    """
    if len(first) < 2 or len(second) < 2:
        return None
    low = max(line[0].gmac for line in (first, second))
    high = min(line[-1].gmac for line in (first, second))
    if high <= low:
        return None

    places = np.linspace(math.log(low), math.log(high), 201)
    weights = _Weights()
    for sign, line in ((1.0, first), (-1.0, second)):
        computes = np.log([point.gmac for point in line])
        for number, point in enumerate(line):
            # How much this point counts in the mean of the interpolated line.
            share = np.interp(places, computes, np.eye(len(line))[number]).mean()
            weights.add(point, sign * float(share))
    return weights.contrast(measure, low, high)


class Pair(NamedTuple):
    """Two points of equal compute, of the same network and length of training."""

    frames: MeasuredPoint
    """The one of more frames."""
    size: MeasuredPoint
    """The one of larger frames."""


def frame_size_pairs(points: Sequence[MeasuredPoint]) -> list[Pair]:
    """Return pairs of more frames and larger frames whose compute is within 25 % of each other's."""
    pairs = []
    for frames in points:
        for size in points:
            one, other = frames.point, size.point
            same = (one.depth, one.width, one.epochs) == (other.depth, other.width, other.epochs)
            ratio = max(frames.gmac / size.gmac, size.gmac / frames.gmac)
            if same and one.frames > other.frames and one.size < other.size and ratio <= EQUAL:
                pairs.append(Pair(frames, size))
    return pairs


def compare_pairs(pairs: Sequence[Pair], measure: str) -> Contrast | None:
    """Return the mean difference of the pairs: more frames minus larger ones; None without any."""
    if not pairs:
        return None
    weights = _Weights()
    for pair in pairs:
        weights.add(pair.frames, 1 / len(pairs))
        weights.add(pair.size, -1 / len(pairs))
    computes = [point.gmac for pair in pairs for point in pair]
    return weights.contrast(measure, min(computes), max(computes))


@dataclass
class _Weights:
    """A sum of points, each with a weight; a point that comes again adds up."""

    weights: dict[str, float] = field(default_factory=dict)
    points: dict[str, MeasuredPoint] = field(default_factory=dict)

    def add(self, point: MeasuredPoint, weight: float) -> None:
        """Add a point."""
        name = point.point.name
        self.points[name] = point
        self.weights[name] = self.weights.get(name, 0.0) + weight

    def contrast(self, measure: str, low: float, high: float) -> Contrast:
        """Return the sum, with the interval that the spread between seeds leaves it."""
        difference = sum(weight * self.points[name].mean(measure) for name, weight in self.weights.items())
        pooled = pooled_spread(list(self.points.values()), measure)
        if pooled is None:
            return Contrast(difference, None, low, high)

        spread, freedom = pooled
        variance = sum(weight**2 / self.points[name].seeds for name, weight in self.weights.items())
        half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * spread * math.sqrt(variance)
        return Contrast(difference, Interval(difference, difference - half, difference + half), low, high)


def best_within(points: Sequence[MeasuredPoint], budget: float, measure: str) -> MeasuredPoint | None:
    """Return the point of the least error, on average over its seeds, that a budget in GMAC allows."""
    affordable = [point for point in points if point.gmac <= budget]
    return min(affordable, key=lambda point: point.mean(measure)) if affordable else None


def budgets(points: Sequence[MeasuredPoint]) -> list[float]:
    """Return three budgets in GMAC: near the smallest point, in the middle by ratio, and the largest point.

    Where all points are of one compute, that is the only budget.
    """
    low = min(point.gmac for point in points)
    high = max(point.gmac for point in points)
    if low == high:
        return [low]
    # The largest one not through a power, which would lose the last digit and with it the point.
    return [low * (high / low) ** 0.1, math.sqrt(low * high), high]
