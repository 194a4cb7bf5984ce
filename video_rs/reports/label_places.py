"""Where small labels stand beside points, so that they cover neither points nor one another."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

DISTANCES = (9.0, 12.5, 17.0, 23.0, 31.0, 41.0, 53.0, 67.0, 83.0, 101.0)
# Above first, where a rising frontier leaves most room, then below, then aside.
ANGLES = (110, 70, 140, 250, 290, 180, 0, 160, 40, 220, 320, 20, 90, 270, 200, 340)
POINT = 4.5  # half the width of a point with its rim


Place = tuple[float, float]


class Box(NamedTuple):
    """A rectangle; the same unit everywhere, y upwards."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: "Box") -> bool:
        """Return whether two boxes have an area in common."""
        aside = self.right <= other.left or other.right <= self.left
        above = self.top <= other.bottom or other.top <= self.bottom
        return not aside and not above

    def lies_in(self, other: "Box") -> bool:
        """Return whether the box is a part of another one."""
        inside_x = other.left <= self.left and self.right <= other.right
        return inside_x and other.bottom <= self.bottom and self.top <= other.top


def label_places(
    points: Sequence[Place],
    sizes: Sequence[tuple[float, float]],
    frame: Box,
    curves: Sequence[Sequence[Place]] = (),
) -> list[Place]:
    """Return the centre of each point's label, as near to the point as there is room.

    Points in a crowd choose first. A label for which there is no room stands as far away as the last place tried.

    Args:
        points: (x, y) in typographic points, as ``sizes`` and ``frame``.
        sizes: (width, height) of each label.
        frame: in which labels have to stay.
        curves: lines through points, which labels cover only where there is no other room.
    """
    segments = [segment for curve in curves for segment in itertools.pairwise(curve)]
    taken = [_box(point, (2 * POINT, 2 * POINT)) for point in points]
    places: dict[int, Place] = {}
    for number in sorted(range(len(points)), key=lambda one: _room(points, one)):
        leaders = [(points[other], places[other]) for other in places]
        obstacles = Obstacles(frame, taken, leaders, segments)
        place = _first_free(points[number], sizes[number], obstacles)
        places[number] = place
        taken.append(_box(place, sizes[number]))
    return [places[number] for number in range(len(points))]


def _room(points: Sequence[Place], number: int) -> float:
    """Return how far the third nearest other point is away."""
    distances = sorted(math.dist(points[number], other) for other in points)
    return distances[min(3, len(distances) - 1)]


class Obstacles(NamedTuple):
    """What a label has to keep clear of.

    Attributes:
        frame: in which it has to stay.
        taken: points and other labels.
        leaders: lines from points to their labels.
        segments: of curves.
    """

    frame: Box
    taken: Sequence[Box]
    leaders: Sequence[tuple[Place, Place]]
    segments: Sequence[tuple[Place, Place]]


def _first_free(point: Place, size: tuple[float, float], obstacles: Obstacles) -> Place:
    """Return the first place where a label covers nothing and its line crosses no other one.

    Where there is none, it may lie on curves and lines may cross; where there is none even so, it is the last place
    tried.
    """
    fallback = None
    place = point
    for place in _around(point):
        box = _box(place, size)
        if not box.lies_in(obstacles.frame) or any(box.overlaps(other) for other in obstacles.taken):
            continue
        is_crossed = any(_cross(point, place, *line) for line in obstacles.leaders)
        if not is_crossed and not any(_touches(box, segment) for segment in obstacles.segments):
            return place
        if fallback is None:
            fallback = place
    return fallback or place


def _touches(box: Box, segment: tuple[Place, Place]) -> bool:
    """Return whether a line runs through a box: through one of its diagonals, or it has an end inside."""
    start, end = segment
    inside = box.left < start[0] < box.right and box.bottom < start[1] < box.top
    rising = ((box.left, box.bottom), (box.right, box.top))
    falling = ((box.left, box.top), (box.right, box.bottom))
    return inside or _cross(start, end, *rising) or _cross(start, end, *falling)


def _around(point: Place) -> Iterator[Place]:
    """Yield places around a point, the nearest first."""
    for distance in DISTANCES:
        for angle in ANGLES:
            turn = math.radians(angle)
            yield point[0] + distance * math.cos(turn), point[1] + distance * math.sin(turn)


def _box(centre: Place, size: tuple[float, float]) -> Box:
    half_width = size[0] / 2
    half_height = size[1] / 2
    return Box(centre[0] - half_width, centre[1] - half_height, centre[0] + half_width, centre[1] + half_height)


def _cross(
    start: Place,
    end: Place,
    other_start: Place,
    other_end: Place,
) -> bool:
    """Return whether two lines cross between their ends."""

    def side(a: Place, b: Place, c: Place) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    divides = side(start, end, other_start) * side(start, end, other_end) < 0
    return divides and side(other_start, other_end, start) * side(other_start, other_end, end) < 0
