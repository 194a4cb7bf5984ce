"""Pictures of a scaling study: error against compute with its law, depth against width, resolution against frames."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from video_rs.reports.plots import BLUE, GREEN, GREY, ORANGE, hide_frame

COLUMNS = 3
MOST_PAIRS = 24
COLORS = (BLUE, ORANGE, GREEN, "#6a3d9a", GREY, "#b8860b", "#00838f", "#ad1457")


class LawPanel(NamedTuple):
    """Runs, and the law that was fitted to them.

    Attributes:
        title: what was scaled.
        note: the law, or why there is none; a line or two.
        computes, values: of each run; both above 0.
        law: compute -> value, or None.
        break_at: compute, and the interval that it lies in; or None.
    """

    title: str
    note: str
    computes: Sequence[float]
    values: Sequence[float]
    law: Callable[[float], float] | None
    break_at: tuple[float, float, float] | None


class Line(NamedTuple):
    """Points in the order of their compute.

    Attributes:
        name: in the legend.
        labels: beside the points.
        computes: of the points.
        values: of each point, one for each seed.
    """

    name: str
    labels: Sequence[str]
    computes: Sequence[float]
    values: Sequence[Sequence[float]]


class PairBar(NamedTuple):
    """Two points of equal compute: more frames, and larger ones.

    Attributes:
        label: of the network.
        frames_clip, size_clip: beside the dots, such as "16 x 32".
        frames, size: values of each seed.
    """

    label: str
    frames_clip: str
    size_clip: str
    frames: Sequence[float]
    size: Sequence[float]


def law_plot(panels: Sequence[LawPanel], value_name: str) -> Figure:
    """Draw the panels, both axes logarithmic and the same in all.

    Args:
        panels: at least one.
        value_name: what the values are.
    """
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(0.6 + 3.5 * columns, 3.4 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    axes = list(grid.flat)

    for number, (place, panel) in enumerate(zip(axes, panels, strict=False)):
        has_two_lines = any("\n" in other.note for other in panels)
        _draw_law(place, panel, pad=30 if has_two_lines else 18)
        # A panel with nothing below it has the numbers of the axis.
        place.tick_params(labelsize=8, labelbottom=number + columns >= len(panels))
        place.set_xlabel("GMAC of a clip" if number + columns >= len(panels) else "", fontsize=9)
        place.set_ylabel(value_name if number % columns == 0 else "", fontsize=9)
    for place in axes[len(panels) :]:
        place.set_visible(False)

    computes = [compute for panel in panels for compute in panel.computes]
    values = [value for panel in panels for value in panel.values if value > 0]
    _log_axis(axes[0], "x", computes)
    _log_axis(axes[0], "y", values or [1.0])
    return figure


def _draw_law(axes: Axes, panel: LawPanel, pad: float) -> None:
    """Draw the runs of a panel, its law and its break; the title is so many points above."""
    axes.set_title(panel.title, fontsize=10, pad=pad)
    axes.text(0.5, 1.02, panel.note, transform=axes.transAxes, ha="center", va="bottom", fontsize=8, color=GREY)
    axes.loglog(panel.computes, panel.values, "o", color=BLUE, markersize=4.5, alpha=0.7)
    if panel.law is not None:
        places = np.geomspace(min(panel.computes), max(panel.computes), 200)
        axes.plot(places, [panel.law(place) for place in places], color=ORANGE, linewidth=1.4)
    if panel.break_at is not None:
        at, low, high = panel.break_at
        axes.axvspan(low, high, color=GREY, alpha=0.12, linewidth=0)
        axes.axvline(at, color=GREY, linestyle="--", linewidth=1)
    axes.grid(alpha=0.3, which="major")
    hide_frame(axes)


def _log_axis(axes: Axes, name: str, values: Sequence[float]) -> None:
    """Give a logarithmic axis limits around its values, and plain numbers as far apart as there is room for."""
    low = min(values)
    high = max(values)
    margin = (high / low) ** 0.06 * 1.05
    axes.set(**{f"{name}scale": "log", f"{name}lim": (low / margin, high * margin)})

    axis = getattr(axes, f"{name}axis")
    subs: tuple[float, ...] = (1.0,)
    decades = math.log10(high / low)
    if decades < 1:
        subs = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    elif decades < 1.7:
        subs = (1.0, 2.0, 5.0)
    elif decades < 4:
        subs = (1.0, 3.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    if decades < 0.3:
        # Within a factor of two, the logarithm is close to straight.
        axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def lines_plot(panels: Sequence[tuple[str, Sequence[Line]]], value_name: str) -> Figure:
    """Draw lines over compute in panels that share their axes, such as short and long training.

    Args:
        panels: title -> lines.
        value_name: what the values are.
    """
    figure = Figure(figsize=(0.6 + 4.6 * len(panels), 3.9), layout="constrained")
    grid = figure.subplots(1, len(panels), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (title, lines) in zip(grid, panels, strict=True):
        lowest = min(lines, key=lambda line: _at_common_compute(line, lines))
        for number, line in enumerate(lines):
            _draw_line(axes, line, COLORS[number % len(COLORS)], above=line is not lowest)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("GMAC of a clip", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8.5, frameon=False)
        hide_frame(axes)
    grid[0].set_ylabel(value_name, fontsize=9)

    every = [line for _, lines in panels for line in lines]
    _log_axis(grid[0], "x", [compute for line in every for compute in line.computes])
    grid[0].margins(y=0.18)
    bottom, top = grid[0].get_ylim()
    if bottom < 0:
        # No error is below zero; dots at zero are whole.
        grid[0].set_ylim(bottom=-0.05 * top)
    return figure


def _at_common_compute(line: Line, lines: Sequence[Line]) -> float:
    """Return the value of a line at the largest compute that all lines reach."""
    reached = min(other.computes[-1] for other in lines if len(other.computes) > 1)
    means = [float(np.mean(values)) for values in line.values]
    return float(np.interp(math.log(reached), np.log(line.computes), means))


def _draw_line(axes: Axes, line: Line, color: str, above: bool) -> None:
    """Draw the means, a dot for each seed, and what each point is."""
    means = [float(np.mean(values)) for values in line.values]
    axes.plot(line.computes, means, "-", color=color, linewidth=1.4, label=line.name)
    for compute, mean, values, label in zip(line.computes, means, line.values, line.labels, strict=True):
        axes.plot([compute] * len(values), values, "o", color=color, markersize=4.5, alpha=0.6)
        edge = max(values) if above else min(values)
        offset = (0, 6 if above else -6)
        side = "bottom" if above else "top"
        text = {"fontsize": 7.5, "color": color, "ha": "center", "va": side}
        behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        axes.annotate(label, (compute, edge), offset, textcoords="offset points", bbox=behind, **text)
        axes.plot(compute, mean, "_", color=color, markersize=10)


def pairs_plot(pairs: Sequence[PairBar], value_name: str) -> Figure:
    """Draw two dots of equal compute on each line, joined; at most 24 pairs.

    Args:
        pairs: at least one.
        value_name: what the values are.
    """
    shown = pairs[:MOST_PAIRS]
    figure = Figure(figsize=(8.2, 1.5 + 0.36 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for place, pair in enumerate(shown):
        means = [float(np.mean(values)) for values in (pair.frames, pair.size)]
        axes.plot(means, [place, place], color=GREY, linewidth=1.2, zorder=1)
        for values, mean, color in ((pair.frames, means[0], BLUE), (pair.size, means[1], ORANGE)):
            axes.plot(values, [place] * len(values), "o", color=color, markersize=3.5, alpha=0.45)
            axes.plot(mean, place, "o", color=color, markersize=7)

    # The dots alone would not say which clips they are.
    labels = [f"{pair.label}:  {pair.frames_clip}  |  {pair.size_clip}" for pair in shown]
    axes.set_yticks(range(len(shown)), labels, fontsize=8)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.plot([], [], "o", color=BLUE, label="more frames (left clip)")
    axes.plot([], [], "o", color=ORANGE, label="larger frames (right clip)")
    axes.legend(fontsize=8.5, frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    axes.set_xlabel(value_name, fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.grid(alpha=0.3, axis="x")
    axes.margins(x=0.08)
    hide_frame(axes)
    return figure
