"""The random box of a training clip, as TensorFlow's ``sample_distorted_bounding_box`` draws it."""

import math

import torch

# TensorFlow's defaults: how often a box is drawn before the whole frame is taken, and the least share of the frame
# that a box covers (min_object_covered).
_ATTEMPTS = 100
_LEAST_COVERED = 0.1


def random_box(
    height: int,
    width: int,
    area: tuple[float, float],
    aspect: tuple[float, float],
    generator: torch.Generator,
) -> tuple[int, int, int, int]:
    """Draw a box inside a frame, or give the whole frame after 100 attempts.

    The aspect ratio is uniform in ``aspect``; then the height is uniform over those that keep the box inside the frame
    and inside ``area``. As in the original, an offset never reaches its last position.

    Args:
        height, width: of the frame, in pixels.
        area: least and largest share of the frame's area, in (0, 1].
        aspect: least and largest width over height.
        generator: of all draws.

    Returns:
        top, left, height and width of the box, in pixels.
    """
    for _ in range(_ATTEMPTS):
        ratio = aspect[0] + (aspect[1] - aspect[0]) * float(torch.rand((), generator=generator))
        size = _box_size(height, width, area, ratio, generator)
        if size is None:
            continue

        rows, columns = size
        if rows * columns >= _LEAST_COVERED * height * width:
            top = random_below(height - rows, generator)
            left = random_below(width - columns, generator)
            return top, left, rows, columns

    return 0, 0, height, width


def _box_size(
    height: int, width: int, area: tuple[float, float], ratio: float, generator: torch.Generator
) -> tuple[int, int] | None:
    """Draw height and width of a box, or return None where no box fits.

    This is TensorFlow's GenerateRandomCrop without the offsets, in float64.
    """
    min_area, max_area = (share * height * width for share in area)
    low = round(math.sqrt(min_area / ratio))
    high = round(math.sqrt(max_area / ratio))
    if round(high * ratio) > width:
        high = int((width + 0.5 - 1e-7) / ratio)
    high = min(high, height)
    low = min(low, high)
    rows = low + random_below(high - low + 1, generator)

    # Rounding may have left the area just outside its bounds: one row more, or one less, mends that.
    if rows * round(rows * ratio) < min_area:
        rows += 1
    if rows * round(rows * ratio) > max_area:
        rows -= 1

    columns = round(rows * ratio)
    fits_area = min_area <= rows * columns <= max_area
    fits_frame = 0 < rows <= height and 0 < columns <= width
    if fits_area and fits_frame:
        return rows, columns
    return None


def random_below(count: int, generator: torch.Generator) -> int:
    """Draw a uniform integer in [0, count); 0 where there is nothing to draw."""
    return int(torch.randint(max(1, count), (), generator=generator))
