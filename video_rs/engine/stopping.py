"""As many views as an answer needs: in which order they are taken, and when there are enough of them."""

import math

from torch import Tensor


def spread_out(clips: int, crops: int) -> list[int]:
    """Return all views of a video, which lie crop-major, in an order in which the first ones are far apart.

    The clips go round with crops in turn: first the middle one, then always the one farthest from those taken.
    """
    # The middle crop first.
    of_crops = sorted(range(crops), key=lambda crop: abs(2 * crop - (crops - 1)))
    of_clips = _farthest_first(clips)
    return [
        of_crops[(place + turn) % crops] * clips + clip for turn in range(crops) for place, clip in enumerate(of_clips)
    ]


def _farthest_first(count: int) -> list[int]:
    """Return 0 to ``count - 1``: the middle one, then always that whose distance from all before is the largest."""
    taken = [(count - 1) // 2]
    left = [place for place in range(count) if place != taken[0]]
    while left:
        farthest = max(left, key=lambda place: min(abs(place - other) for other in taken))
        taken.append(farthest)
        left.remove(farthest)
    return taken


def looks(views: int) -> list[int]:
    """Return after how many views it is asked whether the answer is decided: 1, 2, 3, 4, 6, 8, 12 ... and all."""
    counts = {share * 2**power for power in range(views.bit_length()) for share in (2, 3)}
    return sorted({1, *(count for count in counts if count < views), views})


def decidedness(mean: Tensor, count: int, views: int) -> float:
    """Return how surely the best class of some views is that of all: infinite after the last one.

    The mean of ``count`` of ``views`` numbers, drawn without putting back, is off the mean of all by a standard
    deviation that goes with ``sqrt(1 / count - 1 / views)``; this is the margin of the best class, in the mean so far,
    over that.

    Args:
        mean: probabilities ``[K]``, the mean over the views so far.
        count: of the views so far.
        views: of the video.
    """
    if count == views or len(mean) == 1:
        return math.inf
    best, second = mean.topk(2).values.tolist()
    return (best - second) / math.sqrt(1 / count - 1 / views)
