"""What all pictures share: colours, resolution, PNG bytes; and a clip as a film strip.

Pictures are drawn without pyplot: no global figure state, no display, safe beside other plots.
"""

import io
import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imsave

from video_rs.runtime.errors import InputError

BLUE = "#0b5fa5"
ORANGE = "#c8500a"
GREY = "#5f6368"
GREEN = "#2e7d32"
PURPLE = "#6a3d9a"
DPI = 170  # drawn for about half this many CSS pixels an inch, to stay sharp on dense screens and on paper

STRIP_FRAMES = 8  # at most
STRIP_HEIGHT = 128  # pixels at most
STRIP_GAP = 4  # white pixels between frames


def png(figure: Figure, crop: bool = False) -> bytes:
    """Return a figure as PNG bytes on white; ``crop`` cuts around all that is drawn, outside the figure, too."""
    box = None
    if crop:
        box = "tight"
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", bbox_inches=box, pad_inches=0.05)
    return buffer.getvalue()


def png_width(picture: bytes) -> int:
    """Return the width in pixels, read from the PNG header."""
    return int.from_bytes(picture[16:20], "big")


def hide_frame(axes: Axes) -> None:
    """Leave out the lines above and at the right of the axes."""
    axes.spines[["top", "right"]].set_visible(False)


def montage(frames: Any) -> bytes:
    """Return a clip as a film strip, PNG bytes.

    The strip shows at most 8 frames, first and last included, shrunk by a whole factor (mean of each block) to at most
    128 rows, with 4 white columns between them.

    Args:
        frames: uint8 ``[T, H, W, 3]``, an array or a CPU tensor.

    Raises:
        InputError: another dtype or shape, or no frame.
    """
    clip = np.asarray(frames)
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3 or 0 in clip.shape:
        raise InputError(f"clip: got {clip.dtype} {list(clip.shape)}, expected uint8 [T,H,W,3] with T, H, W > 0")

    count = min(len(clip), STRIP_FRAMES)
    shown = np.linspace(0, len(clip) - 1, count).round().astype(np.int64)
    small = _shrink(clip[shown])  # [t, h, w, 3]

    gap = np.full((small.shape[1], STRIP_GAP, 3), 255, dtype=np.uint8)
    pieces = []
    for frame in small:
        pieces += [frame, gap]
    strip = np.concatenate(pieces[:-1], axis=1)

    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(strip), format="png")
    return buffer.getvalue()


def _shrink(clip: np.ndarray) -> np.ndarray:
    """Return smaller frames, uint8 ``[T, H, W, 3]`` -> ``[T, H / f, W / f, 3]``."""
    length, full_height, full_width, _ = clip.shape
    factor = math.ceil(full_height / STRIP_HEIGHT)
    if factor == 1 or full_width < factor:
        return clip

    height = full_height // factor
    width = full_width // factor
    whole = clip[:, : height * factor, : width * factor]
    blocks = whole.reshape(length, height, factor, width, factor, 3)
    return blocks.mean(axis=(2, 4)).round().astype(np.uint8)
