"""Accuracy against the cost of a whole video: numbered points, their frontier, and the list of their names beside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from video_rs.reports.drawn_names import drawable, shortened
from video_rs.reports.label_places import Box, label_places
from video_rs.reports.plots import BLUE, GREY, ORANGE, hide_frame

LINE = 0.165  # inches of a line of the list
NUMBER_SIZE = 6.5
LIST_SIZE = 7.0
LEAST_HEIGHT = 4.2  # inches of a panel
LONGEST_NAME = 28  # letters in the list, beside which there are two costs
LONGEST_NAME_OF_ONE_PANEL = 42

OURS = "ours"
PEER = "peer"
PUBLISHED = "published"
COLORS = {OURS: BLUE, PEER: ORANGE, PUBLISHED: GREY}


@dataclass(frozen=True)
class Dot:
    """A network or a run.

    Attributes:
        name: in the list.
        top1: in per cent.
        side: :data:`OURS`, :data:`PEER` or :data:`PUBLISHED`.
        is_measured: whether it is drawn filled.
        other_data: whether it has been trained on other data, too: a diamond in the place of a circle.
        costs: by the name of the panel; it is not in a panel for which it has none.
    """

    name: str
    top1: float
    side: str
    is_measured: bool
    other_data: bool
    costs: Mapping[str, float]


@dataclass(frozen=True)
class Panel:
    """One plot.

    Attributes:
        name: of the costs of its points, and the head of their column in the list.
        title: above it.
        label: of the axis of costs.
        frontiers: (what it is of, names of points in the order of their cost); the first one is drawn solid.
    """

    name: str
    title: str
    label: str
    frontiers: Sequence[tuple[str, Sequence[str]]]


def frontier_plot(dots: Sequence[Dot], panels: Sequence[Panel]) -> Figure:
    """Draw the panels above one another, and the list of all points at their right.

    Args:
        dots: each in one panel at least.
        panels: one or two.
    """
    dots = sorted(dots, key=lambda dot: (-dot.top1, dot.name))
    heights = max(LEAST_HEIGHT * len(panels), LINE * (len(dots) + 4))
    figure = Figure(figsize=(11.6, heights))
    grid = figure.add_gridspec(len(panels), 2, width_ratios=(1.55, 1), wspace=0.06, hspace=0.24)
    figure.subplots_adjust(left=0.06, right=0.995, bottom=0.55 / heights, top=1 - 0.4 / heights)

    for place, panel in enumerate(panels):
        _draw_panel(figure.add_subplot(grid[place, 0]), dots, panel)
    _draw_list(figure.add_subplot(grid[:, 1]), dots, panels)
    return figure


def _draw_panel(axes: Axes, dots: Sequence[Dot], panel: Panel) -> None:
    """Draw one panel."""
    numbered = [(number, dot) for number, dot in enumerate(dots, start=1) if panel.name in dot.costs]
    _set_up_axes(axes, [dot for _, dot in numbered], panel)
    by_name = {dot.name: dot for _, dot in numbered}
    for style, (_, names) in zip(("-", "--"), panel.frontiers, strict=False):
        steps = [(by_name[name].costs[panel.name], by_name[name].top1) for name in names]
        axes.plot(*zip(*steps, strict=True), style, color="black", linewidth=1.0, alpha=0.55, zorder=1)
    for _, dot in numbered:
        _draw_dot(axes, dot, panel)
    _draw_numbers(axes, numbered, panel)
    axes.legend(handles=_legend(dots, panel), fontsize=7, frameon=False, loc="lower right")


def _set_up_axes(axes: Axes, dots: Sequence[Dot], panel: Panel) -> None:
    """Leave room around the points."""
    costs = [dot.costs[panel.name] for dot in dots]
    accuracies = [dot.top1 for dot in dots]
    margin = max(1.0, 0.1 * (max(accuracies) - min(accuracies)))
    axes.set(xscale="log", xlim=(min(costs) / 1.8, max(costs) * 1.8))
    axes.set_ylim(min(accuracies) - margin, max(accuracies) + margin)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_title(panel.title, fontsize=9.5)
    axes.set_xlabel(panel.label, fontsize=8.5)
    axes.set_ylabel("top-1 (%)", fontsize=8.5)
    axes.tick_params(labelsize=7.5)
    axes.grid(alpha=0.25, which="major")
    axes.set_axisbelow(True)
    hide_frame(axes)


def _draw_dot(axes: Axes, dot: Dot, panel: Panel) -> None:
    color = COLORS[dot.side]
    axes.plot(dot.costs[panel.name], dot.top1, **_style(color, dot.is_measured, dot.other_data), zorder=2)


def _style(color: str, is_filled: bool, is_diamond: bool) -> dict:
    """Return how a point looks."""
    inside = color if is_filled else "white"
    shape = "D" if is_diamond else "o"
    size = 4.4 if is_diamond else 5.2
    return {
        "marker": shape,
        "markersize": size,
        "color": color,
        "markerfacecolor": inside,
        "markeredgewidth": 1.1,
        "linestyle": "",
    }


def _draw_numbers(axes: Axes, numbered: Sequence[tuple[int, Dot]], panel: Panel) -> None:
    """Write each point's number beside it, with a thin line where it is not close by."""
    axes.figure.draw_without_rendering()
    to_points = 72 / axes.figure.dpi
    corners = axes.get_window_extent()
    frame = Box(*(to_points * edge for edge in (corners.x0, corners.y0, corners.x1, corners.y1)))

    values = [(dot.costs[panel.name], dot.top1) for _, dot in numbered]
    points = [tuple(to_points * place for place in pair) for pair in axes.transData.transform(values)]
    # A digit is two thirds of its height wide; a point and a half stay free at either side.
    sizes = [(0.66 * NUMBER_SIZE * len(str(number)) + 3, 1.05 * NUMBER_SIZE) for number, _ in numbered]
    by_name = {dot.name: point for (_, dot), point in zip(numbered, points, strict=True)}
    curves = [[by_name[name] for name in names] for _, names in panel.frontiers]
    places = label_places(points, sizes, frame, curves)

    for (number, dot), value, point, place in zip(numbered, values, points, places, strict=True):
        color = COLORS[dot.side]
        axes.annotate(
            str(number),
            value,
            (place[0] - point[0], place[1] - point[1]),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=NUMBER_SIZE,
            color=color,
            zorder=3,
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.4, "alpha": 0.6, "shrinkA": 0, "shrinkB": 2},
        )


def _legend(dots: Sequence[Dot], panel: Panel) -> list[Line2D]:
    """Return what colours, shapes and lines mean, as far as they occur."""
    shown = [dot for dot in dots if panel.name in dot.costs]
    handles = []
    sides = {dot.side for dot in shown}
    for side, text in ((OURS, "ours"), (PEER, "other libraries"), (PUBLISHED, "published only")):
        of_side = [dot for dot in shown if dot.side == side]
        # One colour needs no words.
        if of_side and len(sides) > 1:
            is_filled = any(dot.is_measured for dot in of_side)
            handles.append(Line2D([], [], **_style(COLORS[side], is_filled, is_diamond=False), label=text))
    if any(dot.other_data for dot in shown):
        handles.append(
            Line2D([], [], **_style("black", is_filled=False, is_diamond=True), label="trained on other data, too")
        )
    if {dot.is_measured for dot in shown} == {True, False}:
        handles.append(
            Line2D([], [], **_style("black", is_filled=True, is_diamond=False), label="filled: measured here, too")
        )
    for style, (text, _) in zip(("-", "--"), panel.frontiers, strict=False):
        handles.append(Line2D([], [], color="black", linestyle=style, linewidth=1.0, alpha=0.55, label=text))
    return handles


def _draw_list(axes: Axes, dots: Sequence[Dot], panels: Sequence[Panel]) -> None:
    """Write number, name, accuracy and costs of each point; those on a frontier in bold type."""
    axes.axis("off")
    height = max(len(dots) + 2, int(axes.figure.get_figheight() / LINE) - 3)
    on_a_frontier = {name for panel in panels for _, names in panel.frontiers for name in names}
    ends = [1.0 - 0.2 * (len(panels) - 1 - place) for place in range(len(panels))]
    longest = LONGEST_NAME if len(panels) > 1 else LONGEST_NAME_OF_ONE_PANEL

    def write(texts: Sequence[str], line: float, color: str, weight: str = "normal") -> None:
        columns = [(0.035, "right"), (0.06, "left"), (ends[0] - 0.2, "right"), *((end, "right") for end in ends)]
        for (x, side), text in zip(columns, texts, strict=True):
            y = 1 - line / height
            # parse_math: a "$" in a name is a dollar sign, not the start of a formula.
            look = {"fontsize": LIST_SIZE, "color": color, "weight": weight, "ha": side, "parse_math": False}
            axes.text(x, y, text, transform=axes.transAxes, **look)

    write(("", "bold: on a frontier", "top-1", *(panel.name for panel in panels)), 0, GREY)
    for number, dot in enumerate(dots, start=1):
        costs = [three_digits(dot.costs.get(panel.name)) for panel in panels]
        name = shortened(drawable(dot.name), longest)
        if dot.other_data:
            name = f"{name} *"
        weight = "bold" if dot.name in on_a_frontier else "normal"
        write((str(number), name, f"{dot.top1:.1f}", *costs), number + 0.4, COLORS[dot.side], weight)


def three_digits(value: float | None) -> str:
    """Return three digits that count, more of large numbers; "" for None."""
    if value is None:
        return ""
    if value >= 999.5:
        return f"{value:,.0f}"
    return f"{value:#.3g}".removesuffix(".")
