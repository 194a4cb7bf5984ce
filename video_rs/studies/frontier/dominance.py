"""Which points no other point beats in cost and accuracy at once: the Pareto frontier."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Point(NamedTuple):
    """What something costs, and how good it is.

    Attributes:
        name: of a network or a run.
        cost: less is better; any unit, the same for all points.
        top1: more is better.
    """

    name: str
    cost: float
    top1: float


def beats(one: Point, other: Point) -> bool:
    """Return whether one point is at least as good as the other in both, and better in one."""
    is_no_worse = one.cost <= other.cost and one.top1 >= other.top1
    return is_no_worse and (one.cost, one.top1) != (other.cost, other.top1)


def frontier(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other one beats, the cheapest first."""
    points = list(points)
    kept = [point for point in points if not any(beats(other, point) for other in points)]
    return sorted(kept, key=lambda point: (point.cost, point.top1))


def best_instead(point: Point, points: Sequence[Point]) -> Point | None:
    """Return the cheapest point that beats one, the more accurate of equally cheap ones; None on the frontier."""
    better = [other for other in points if beats(other, point)]
    return min(better, key=lambda other: (other.cost, -other.top1), default=None)
