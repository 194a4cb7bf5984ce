"""How much of a heat map lies on the object of the motion demo, whose place in every frame is known."""

from typing import NamedTuple

import numpy as np

from video_rs.curation.motion_demo.clips import inside_object_box


class Shares(NamedTuple):
    """Shares of what the network saw, both in [0, 1].

    Attributes:
        heat: of all heat, how much lies inside the object's box; NaN without heat.
        area: of all places, how many lie there: the share of heat that is spread evenly.
    """

    heat: float
    area: float


def shares_in_box(heat_map, path, size):
    """Return the shares of a heat map of a generated clip.

    Args:
        heat_map: of all or some frames of the clip.
        path: of the object, float64 ``[frames, 4]``.
        size: height and width of the clip's frames, in pixels.
    """
    heat = heat_map.heat.double().numpy()
    height, width = heat.shape[1:]
    box = heat_map.box
    # The middle of each pixel of the map, as a place in the original frames.
    x = (box.left + (np.arange(width) + 0.5) * (box.right - box.left) / width) / size
    y = (box.top + (np.arange(height) + 0.5) * (box.bottom - box.top) / height) / size
    inside = inside_object_box(path[heat_map.frames.numpy()], x, y)

    total = heat.sum()
    return Shares(float(heat[inside].sum() / total) if total else float("nan"), float(inside.mean()))
