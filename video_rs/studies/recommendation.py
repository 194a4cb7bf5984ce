"""Which network, frames and size for a budget: the published scaling rules, turned into steps.

The rules are those of Bello et al. 2021 (arXiv 2103.07579, section 6): scale the depth where overfitting can occur
(350 epochs of ImageNet), the width otherwise (10 epochs; at 100 it depends); raise the resolution slowly. The points
are those of R3D-RS (Du et al. 2021, arXiv 2109.01696): depth together with frames, which help more than resolution.

What goes beyond the two is marked as our own extension wherever it is said.
"""

import bisect
import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from video_rs.models import create_model
from video_rs.models.table import gmac
from video_rs.runtime.errors import InputError

IMAGENET = 1_281_167  # images that the rules were found on
SHORT, MIDDLE, LONG = 10, 100, 350
"""Epochs of ImageNet for which the rules were tried."""
EXTENSION = "our own extension"
PAPER = "Bello et al. 2021"
R3D_RS = "Du et al. 2021"
_DEPTH_THEN = "depth is taken, as R3D-RS did in long training"


class Rung(NamedTuple):
    """A step of a ladder.

    Attributes:
        model: one of :func:`video_rs.list_models`.
        width: its MODEL.WIDTH.
        frames, size: of a clip.
        top1: on Kinetics-400 as published, in per cent; 0 where it is our own extension.
    """

    model: str
    width: float
    frames: int
    size: int
    top1: float = 0.0


class Recommendation(NamedTuple):
    """What to train.

    Attributes:
        model: one of :func:`video_rs.list_models`.
        width: MODEL.WIDTH.
        frames: DATA.NUM_FRAMES.
        size: DATA.TRAIN_CROP_SIZE, in pixels.
        gmac: multiply-adds of a clip's forward pass, in 10^9, with 400 classes.
        strategy: what is scaled up, "depth" or "width".
        reasons: three lines; what the sources do not say is marked in them as our own extension.
        extensions: what of it is our own.
    """

    model: str
    width: float
    frames: int
    size: int
    gmac: float
    strategy: str
    reasons: tuple[str, str, str]
    extensions: tuple[str, ...]


# Below the smallest published point: size first, then the network, and frames last. Each ascends in multiply-adds.
_LEAST = (
    Rung("r3d_rs_tiny", 0.125, 4, 32),
    Rung("r3d_rs_tiny", 0.125, 8, 32),
    Rung("r3d_rs_tiny", 0.125, 8, 48),
    Rung("r3d_rs_tiny", 0.125, 8, 64),
    Rung("r3d_rs_tiny", 0.125, 16, 64),
    Rung("r3d_rs_tiny", 0.125, 32, 64),
    Rung("r3d_rs_tiny", 0.125, 32, 112),
    Rung("r3d_rs_tiny", 0.25, 32, 112),
)
_SIZES = tuple(Rung("r3d_rs_50", 1.0, 32, size) for size in (112, 128, 160, 192))
_SMALLEST_PUBLISHED = Rung("r3d_rs_50", 1.0, 32, 224, 78.2)
LADDERS = {
    "depth": (
        *_LEAST,
        # The depth stays, and the width goes.
        Rung("r3d_rs_small", 0.25, 32, 112),
        Rung("r3d_rs_50", 0.25, 32, 112),
        Rung("r3d_rs_50", 0.5, 32, 112),
        Rung("r3d_rs_50", 0.75, 32, 112),
        *_SIZES,
        _SMALLEST_PUBLISHED,
        Rung("r3d_rs_101", 1.0, 32, 224, 79.5),
        Rung("r3d_rs_152", 1.0, 32, 224, 79.9),
        Rung("r3d_rs_200", 1.0, 32, 224, 80.4),
        Rung("r3d_rs_200", 1.0, 48, 224, 81.0),
        # Beyond the published points by the same rule.
        Rung("r3d_rs_270", 1.0, 48, 224),
        Rung("r3d_rs_350", 1.0, 48, 224),
        Rung("r3d_rs_350", 1.0, 64, 224),
    ),
    "width": (
        *_LEAST,
        # The width stays, and the depth goes.
        Rung("r3d_rs_tiny", 0.5, 32, 112),
        Rung("r3d_rs_tiny", 1.0, 32, 112),
        Rung("r3d_rs_small", 1.0, 32, 112),
        *_SIZES,
        _SMALLEST_PUBLISHED,
        Rung("r3d_rs_50", 1.5, 32, 224),
        Rung("r3d_rs_50", 2.0, 32, 224),
        Rung("r3d_rs_50", 2.0, 48, 224),
    ),
}
"""What is scaled up -> the steps, each of more multiply-adds than the one before."""


def recommend(budget_gmac: float, epochs: float, videos: int) -> Recommendation:
    """Return the largest step of the published rules that a budget allows, and why.

    Args:
        budget_gmac: of the forward pass of one clip, in 10^9 multiply-adds.
        epochs: of the training.
        videos: that are trained on.

    Raises:
        InputError: the budget is below the smallest network, or an argument is none.
    """
    _require_positive("the budget in GMAC", budget_gmac)
    _require_positive("the number of epochs", epochs)
    _require_positive("the number of videos", videos)
    strategy, why, extensions = _strategy(epochs, videos)

    ladder = LADDERS[strategy]
    chosen, work, following = _largest(ladder, budget_gmac)
    if chosen.top1 == 0:
        extensions.append(f"{describe(chosen)} is no published point")
    reasons = (why, _frames_and_size(ladder, chosen), _budget(chosen, work, budget_gmac, following))
    return Recommendation(
        chosen.model, chosen.width, chosen.frames, chosen.size, work, strategy, reasons, tuple(extensions)
    )


def _require_positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{name} is {value:g}; give a finite number above 0")


def _strategy(epochs: float, videos: int) -> tuple[str, str, list[str]]:
    """Return what to scale, why, and what of the reason is our own."""
    regime, own = _regime(epochs, videos)
    what = {
        SHORT: ("width", f"width scales better than depth in training as short as 10 epochs ({PAPER})"),
        MIDDLE: (
            "depth",
            f"at about 100 epochs it depends which scales better ({PAPER}). {_capital(EXTENSION)}: then {_DEPTH_THEN}",
        ),
        LONG: ("depth", f"depth scales better where overfitting can occur, as in 350 epochs ({PAPER})"),
    }
    strategy, why = what[regime]
    extensions = []
    start = f"{epochs:g} epochs: "
    if own:
        extensions.append(own)
        start = f"{_capital(EXTENSION)}: {own}; "
    if regime == MIDDLE:
        extensions.append(_DEPTH_THEN)
    return strategy, f"{start}{why}.", extensions


def _regime(epochs: float, videos: int) -> tuple[int, str]:
    """Return as which of the tried lengths of training this one counts, and what of that is our own, or ""."""
    # Fewer videos overfit sooner, more videos later: epochs count in proportion.
    equivalent = epochs * IMAGENET / videos
    regime = _nearest_tried(equivalent)
    counted = f"{regime}, the nearest by ratio of the {SHORT}, {MIDDLE} and {LONG} epochs that were tried"
    if regime != _nearest_tried(epochs):
        # Three digits, without an exponent.
        rounded = f"{float(f'{equivalent:.3g}'):,.10g}"
        images = "ImageNet's 1.28 million images"
        own = f"{epochs:g} epochs of {videos:,} videos overfit as {rounded} epochs of {images} would, and count as"
        return regime, f"{own} {counted}"
    if epochs != regime:
        return regime, f"{epochs:g} epochs count as {counted}"
    return regime, ""


def _nearest_tried(epochs: float) -> int:
    """Return which of the tried lengths of training is the nearest, by ratio."""
    return min((SHORT, MIDDLE, LONG), key=lambda tried: abs(math.log(epochs / tried)))


def _largest(ladder: Sequence[Rung], budget: float) -> tuple[Rung, float, tuple[Rung, float] | None]:
    """Return the last step within a budget and its GMAC, and the step behind it; None behind the last.

    Raises:
        InputError: the first step is above the budget.
    """
    # Steps ascend, and to count the work of a large one takes seconds.
    within = bisect.bisect_right(ladder, budget, key=rung_gmac)
    if within == 0:
        rung = ladder[0]
        raise InputError(
            f"a budget of {budget:g} GMAC is below the smallest network: {describe(rung)} takes {rung_gmac(rung):.3g} "
            "GMAC; give that at least"
        )

    chosen = ladder[within - 1]
    following = None
    if within < len(ladder):
        following = (ladder[within], rung_gmac(ladder[within]))
    return chosen, rung_gmac(chosen), following


@functools.cache
def rung_gmac(rung: Rung) -> float:
    """Return the multiply-adds of a step, in 10^9, counted on a network without memory."""
    with torch.device("meta"):
        model = create_model(rung.model, width=rung.width)
    return gmac(model, rung.frames, rung.size)


def describe(rung: Rung) -> str:
    """Return a step in words."""
    width = "" if rung.width == 1 else f" of width {rung.width:g}"
    return f"{rung.model}{width} at {rung.frames} x {rung.size} x {rung.size}"


def _frames_and_size(ladder: Sequence[Rung], chosen: Rung) -> str:
    """Return why the clip is as it is."""
    clip = f"{chosen.frames} frames of {chosen.size} x {chosen.size}"
    rules = f"frames help more than resolution ({R3D_RS}), which is raised slowly ({PAPER})"
    place = ladder.index(chosen)
    smallest = ladder.index(_SMALLEST_PUBLISHED)
    if place < smallest:
        return (
            f"{clip}: {rules}. {_capital(EXTENSION)}: below R3D-RS-50's 88 GMAC the size goes first, then the network, "
            "and frames last."
        )
    if chosen.top1:
        return f"{clip}: {rules}; R3D-RS has these."
    return f"{clip}: {rules}. {_capital(EXTENSION)}: the rule is carried on beyond what was published."


def _budget(chosen: Rung, work: float, budget: float, following: tuple[Rung, float] | None) -> str:
    """Return how far the budget goes."""
    source = f"{EXTENSION}, not a published point"
    if chosen.top1:
        source = f"published with {chosen.top1:.1f} % top-1 on Kinetics-400"
    text = f"{describe(chosen)} takes {work:.4g} of {budget:g} GMAC ({source})"
    if following is None:
        return f"{text}; it is the last step: more frames or views may take the rest."
    rung, more = following
    return f"{text}; the next step, {describe(rung)}, takes {more:.4g}."


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
