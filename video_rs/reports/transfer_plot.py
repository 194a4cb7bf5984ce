"""Dots of a transfer study: every seed of every source, by target and protocol, with means and their intervals."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from video_rs.reports.drawn_names import drawable, shortened
from video_rs.reports.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, hide_frame

LINE = 0.2  # inches of a source
GAP = 0.8  # of a line, between protocols
WIDTH = 4.6  # inches of a target
LONGEST_NAME = 24  # letters
COLORS = (GREY, BLUE, ORANGE, GREEN, PURPLE, "#8c564b", "#b8860b", "#008b8b")
MARKERS = "osD^v<>P"


class Dots(NamedTuple):
    """A source by a protocol.

    Attributes:
        source: of the weights.
        protocol: how they are used.
        values: top-1 of each run in per cent; none where nothing is finished.
        span: the interval of their mean, or None.
    """

    source: str
    protocol: str
    values: Sequence[float]
    span: tuple[float, float] | None


class TransferPanel(NamedTuple):
    """A target: its title, top-1 of guessing in per cent, and its rows by protocol."""

    title: str
    chance: float
    rows: Sequence[Dots]


def transfer_plot(panels: Sequence[TransferPanel]) -> Figure:
    """Draw a panel for each target beside each other, protocols from top to bottom, a colour for each source.

    Args:
        panels: at least one, with rows of the same sources and protocols.
    """
    rows = [row for panel in panels for row in panel.rows]
    sources = list(dict.fromkeys(row.source for row in rows))
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    lines = len(protocols) * (len(sources) + GAP)
    figure = Figure(figsize=(1.2 + WIDTH * len(panels), 1.2 + LINE * lines), layout="constrained")
    all_axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, panel in zip(all_axes, panels, strict=True):
        _draw(axes, panel, sources, protocols)

    block = len(sources) + GAP
    middles = [place * block + (len(sources) - 1) / 2 for place in range(len(protocols))]
    all_axes[0].set_yticks(middles, protocols, fontsize=9)
    all_axes[0].set_ylim(-GAP, lines - GAP / 2)
    all_axes[0].invert_yaxis()
    handles, names = _legend(all_axes[0], sources)
    figure.legend(
        handles, names, loc="outside lower center", ncols=min(3 * len(panels), len(sources)), fontsize=9, frameon=False
    )
    return figure


def _draw(axes: Axes, panel: TransferPanel, sources: Sequence[str], protocols: Sequence[str]) -> None:
    """Draw a target."""
    block = len(sources) + GAP
    for row in panel.rows:
        number = sources.index(row.source)
        height = protocols.index(row.protocol) * block + number
        if row.values:
            _draw_row(axes, row, height, number)
        else:
            # Whoever looks for the dots reads why there are none.
            axes.annotate(
                "not measured",
                (0.01, height),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=7.5,
                color=_color(number),
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )
    for place in range(1, len(protocols)):
        axes.axhline(place * block - (1 + GAP) / 2, color="#dddddd", linewidth=0.8)

    axes.axvline(panel.chance, color="black", linestyle="--", linewidth=0.9, alpha=0.6)
    axes.set_title(shortened(drawable(panel.title), 56), fontsize=10, parse_math=False)
    axes.set_xlabel("top-1 (%)", fontsize=9)
    axes.tick_params(labelsize=9)
    axes.tick_params(axis="y", length=0)
    axes.grid(alpha=0.3, axis="x")
    axes.set_axisbelow(True)
    hide_frame(axes)


def _draw_row(axes: Axes, row: Dots, height: float, number: int) -> None:
    """Draw the runs of a source, their mean and its interval."""
    color = _color(number)
    mean = sum(row.values) / len(row.values)
    if row.span is not None:
        # No accuracy is outside of this, whatever Student's interval of few seeds says.
        low = max(0.0, row.span[0])
        high = min(100.0, row.span[1])
        axes.plot([low, high], [height, height], color=color, linewidth=3.5, alpha=0.3, solid_capstyle="butt")
    axes.plot([mean, mean], [height - 0.36, height + 0.36], color=color, linewidth=1.8)
    axes.plot(row.values, [height] * len(row.values), _marker(number), color=color, markersize=3.5, alpha=0.8)


def _legend(axes: Axes, sources: Sequence[str]) -> tuple[list, list[str]]:
    """Return a mark and a name for each source."""
    handles = []
    for number in range(len(sources)):
        handles += axes.plot([], [], _marker(number), color=_color(number), markersize=5)
    names = [shortened(drawable(source), LONGEST_NAME) for source in sources]
    return handles, names


def _color(number: int) -> str:
    return COLORS[number % len(COLORS)]


def _marker(number: int) -> str:
    return MARKERS[number % len(MARKERS)]
