"""Speed against arithmetic: a numbered point for each network that a benchmark measured, named in a list beside."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from video_rs.reports.plots import BLUE, GREY, ORANGE, hide_frame

LINE = 0.2  # inches of a line of the list
NUMBER_ASIDE = 1.13  # how far a number stands beside its point, as a ratio
NUMBERS_IN_HEIGHT = 22  # that fit above one another

# Where the columns of the list stand, as shares of its width, and how they are aligned.
LIST_COLUMNS = ((0.0, "left"), (0.06, "left"), (0.68, "right"), (0.82, "right"), (1.0, "right"))

Row = Mapping[str, Any]
"""A row of a benchmark's JSON."""


def speed_plot(rows: Sequence[Row], peak: float | None) -> Figure:
    """Draw clips per second over GFLOP per clip, both logarithmic, ours and peers in two colours.

    Args:
        rows: those without ``clips_per_s`` (single layers) are left out.
        peak: GFLOP/s of the best single layer, drawn as the line that no network can cross, or None.
    """
    shown = [row for row in rows if row["clips_per_s"]]
    shown.sort(key=lambda row: row["clips_per_s"], reverse=True)

    figure = Figure(figsize=(9.2, max(3.8, 1 + LINE * len(shown))), layout="constrained")
    axes, listing = figure.subplots(1, 2, width_ratios=(1, 1))
    _set_up_axes(axes, shown)
    if peak:
        _draw_peak(axes, peak)
    _draw_points(axes, shown)
    _draw_list(listing, shown)
    return figure


def _set_up_axes(axes: Axes, rows: Sequence[Row]) -> None:
    """Leave room around the points."""
    for name, key in (("x", "gflop_per_clip"), ("y", "clips_per_s")):
        values = [row[key] for row in rows]
        axes.set(**{f"{name}scale": "log", f"{name}lim": (min(values) / 2, max(values) * 2)})
        axis = getattr(axes, f"{name}axis")
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())

    axes.set_xlabel("GFLOP per clip (2 per multiply-add)", fontsize=9)
    axes.set_ylabel("clips per second", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3, which="both")
    hide_frame(axes)


def _draw_peak(axes: Axes, peak: float) -> None:
    """Draw the machine's best convolution rate: speed times work is constant along the line."""
    low, high = axes.get_xlim()
    label = f"best single layer, {peak:.0f} GFLOP/s"
    axes.plot([low, high], [peak / low, peak / high], "--", color=GREY, linewidth=1, label=label)
    axes.legend(fontsize=8, frameon=False, loc="lower left")


def _draw_points(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw each network and its number, joined by a line."""
    places = number_places(axes, rows)
    for number, (row, place) in enumerate(zip(rows, places, strict=True), start=1):
        point = (row["gflop_per_clip"], row["clips_per_s"])
        color = _color(row)
        side = "left"
        if place[0] < point[0]:
            side = "right"

        axes.plot(*point, "o", color=color, markersize=5)
        line = {"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
        axes.annotate(str(number), point, place, va="center", ha=side, fontsize=8, color=color, arrowprops=line)


def number_places(axes: Axes, rows: Sequence[Row]) -> list[tuple[float, float]]:
    """Return where the numbers stand: beside their points, clear of the other points and of one another.

    A number is left of its point, or right of the point where the place to the left is another point's; and so far
    below its point that it does not touch the number above.

    Args:
        axes: with their limits.
        rows: the fastest first.
    """
    bottom, top = axes.get_ylim()
    apart = (top / bottom) ** (1 / NUMBERS_IN_HEIGHT)
    points = [(row["gflop_per_clip"], row["clips_per_s"]) for row in rows]

    places: list[tuple[float, float]] = []
    for x, y in points:
        number_x = x / NUMBER_ASIDE
        for other_x, other_y in points:
            if 1.02 < x / other_x < 1.4 and 1 / apart < y / other_y < apart:
                number_x = x * NUMBER_ASIDE

        number_y = y
        for other_x, other_y in places:
            if 3 / 4 < other_x / number_x < 4 / 3:
                number_y = min(number_y, other_y / apart)
        places.append((number_x, number_y))
    return places


def _draw_list(axes: Axes, rows: Sequence[Row]) -> None:
    """Write number, name, speeds and clip of each point, the fastest first."""
    axes.axis("off")
    height = max(18, len(rows) + 2)

    def write(texts: Sequence[str], line: float, color: str) -> None:
        for (x, side), text in zip(LIST_COLUMNS, texts, strict=True):
            axes.text(x, 1 - line / height, text, fontsize=7.5, color=color, ha=side, transform=axes.transAxes)

    write(("", "network", "clips/s", "GFLOP/s", "clip"), 0, GREY)
    for number, row in enumerate(rows, start=1):
        speed = f"{row['clips_per_s']:#.3g}".removesuffix(".")
        work = f"{row['gflops_per_s']:.4g}"
        clip = f"{row['subject']['frames']} x {row['subject']['size']}"
        write((str(number), row["name"], speed, work, clip), number + 0.4, _color(row))


def _color(row: Row) -> str:
    """Return the colour of ours or of a peer."""
    if row["subject"]["side"] == "peer":
        return ORANGE
    return BLUE
