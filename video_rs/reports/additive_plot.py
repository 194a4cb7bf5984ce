"""Bars of an additive study: each row as measured, and the published rows beside."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from video_rs.reports.drawn_names import drawable, shortened
from video_rs.reports.plots import BLUE, GREY, ORANGE, hide_frame

LINE = 0.42  # inches of a bar
LONGEST_TITLE = 56  # letters: half of the picture


class Bar(NamedTuple):
    """A row of the study.

    Attributes:
        title: beside the bar.
        published: top-1 in per cent, or None.
        values: top-1 of each seed in per cent; none where no run is finished.
        is_remembered: whether ``published`` is from memory; such a bar is hatched.
    """

    title: str
    published: float | None
    values: Sequence[float]
    is_remembered: bool = False


def additive_plot(bars: Sequence[Bar], videos: str) -> Figure:
    """Draw the bars, the first row on top; a dot for each seed, and the mean in figures.

    Args:
        bars: at least one.
        videos: what the measured ones are tested on, for the title.
    """
    figure = Figure(figsize=(10.4, 1.3 + LINE * len(bars)), layout="constrained")
    published = [bar.published for bar in bars]
    if any(value is not None for value in published):
        right, left = figure.subplots(1, 2, sharey=True)
        _draw(left, [() if value is None else (value,) for value in published], GREY)
        for place, bar in enumerate(bars):
            if bar.is_remembered:
                _hatch(left, place)
        left.set_title("published: R3D-50, Kinetics-400 (hatched: from memory)", fontsize=10)
    else:
        right = figure.subplots()
    _draw(right, [bar.values for bar in bars], BLUE)
    right.set_title(f"measured: {videos}", fontsize=10)
    titles = [shortened(drawable(bar.title), LONGEST_TITLE) for bar in bars]
    # parse_math: a "$" in a title is a dollar sign, not the start of a formula.
    right.set_yticks(range(len(bars)), titles, fontsize=9, parse_math=False)
    right.invert_yaxis()
    return figure


def _draw(axes: Axes, rows: Sequence[Sequence[float]], color: str) -> None:
    known = [value for values in rows for value in values]
    if not known:
        return
    low, high = min(known), max(known)
    span = max(high - low, 1.0)
    # A bar that starts at zero would hide differences of a point; the axis says where it starts.
    start = max(0.0, low - 0.35 * span)

    for place, values in enumerate(rows):
        if not values:
            continue
        mean = sum(values) / len(values)
        axes.barh(place, mean - start, left=start, height=0.62, color=color, alpha=0.35)
        if len(values) > 1:
            axes.plot(values, [place] * len(values), "o", color=ORANGE, markersize=3.5, alpha=0.8)
        axes.text(max(mean, *values, mean) + 0.03 * span, place, f"{mean:.1f}", va="center", fontsize=8.5)
    axes.set_xlim(start, high + 0.22 * span)
    axes.set_xlabel("top-1 (%)", fontsize=9)
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.3, axis="x")
    axes.set_axisbelow(True)
    hide_frame(axes)


def _hatch(axes: Axes, place: int) -> None:
    """Hatch the bar at a place."""
    for patch in axes.patches:
        if round(patch.get_y() + patch.get_height() / 2) == place:
            patch.set(hatch="///", edgecolor="white", linewidth=0)
