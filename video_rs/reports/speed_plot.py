"""Speed against arithmetic: a numbered point for each network that a benchmark measured, named in a list beside."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from video_rs.reports.plots import BLUE, GREY, ORANGE

LINE = 0.2  # inches of a line of the list
NUMBER_ASIDE = 1.13  # how far a number stands beside its point, as a ratio
NUMBERS_IN_HEIGHT = 22  # that fit above one another


def speed_plot(rows: Sequence[Mapping[str, Any]], peak: float | None) -> Figure:
    """Clips per second over GFLOP per clip, both logarithmic, ours and peers in two colours.

    Args:
        rows: of a benchmark's JSON; those without ``clips_per_s`` (single layers) are left out.
        peak: GFLOP/s of the best single layer, drawn as the line that no network can cross, or None.
    """
    shown = sorted((row for row in rows if row["clips_per_s"]), key=lambda row: row["clips_per_s"], reverse=True)
    figure = Figure(figsize=(9.2, max(3.8, 1 + LINE * len(shown))), layout="constrained")
    axes, listing = figure.subplots(1, 2, width_ratios=(1, 1))
    frame(axes, shown)
    if peak:
        draw_peak(axes, peak)
    for i, (row, place) in enumerate(zip(shown, number_places(axes, shown), strict=True)):
        point, color = (row["gflop_per_clip"], row["clips_per_s"]), color_of(row)
        axes.plot(*point, "o", color=color, markersize=5)
        line = {"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
        side = "right" if place[0] < point[0] else "left"
        axes.annotate(str(i + 1), point, place, va="center", ha=side, fontsize=8, color=color, arrowprops=line)
    draw_list(listing, shown)
    return figure


def number_places(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """Where the numbers stand: beside their points, clear of the other points and of one another.

    A number is left of its point, or right of it where the place to the left is another point's; and so far below its
    point that it does not touch the one above.
    """
    bottom, top = axes.get_ylim()
    apart = (top / bottom) ** (1 / NUMBERS_IN_HEIGHT)
    points = [(row["gflop_per_clip"], row["clips_per_s"]) for row in rows]
    places: list[tuple[float, float]] = []
    for x, y in points:  # the fastest first
        taken = any(1.02 < x / other_x < 1.4 and 1 / apart < y / other_y < apart for other_x, other_y in points)
        number_x = x * NUMBER_ASIDE if taken else x / NUMBER_ASIDE
        above = [other_y for other_x, other_y in places if 3 / 4 < other_x / number_x < 4 / 3]
        places.append((number_x, min([y, *(other_y / apart for other_y in above)])))
    return places


def frame(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Axes with room around the points."""
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
    axes.spines[["top", "right"]].set_visible(False)


def draw_peak(axes: Axes, peak: float) -> None:
    """The machine's best convolution rate: speed times work is constant along the line."""
    low, high = axes.get_xlim()
    label = f"best single layer, {peak:.0f} GFLOP/s"
    axes.plot([low, high], [peak / low, peak / high], "--", color=GREY, linewidth=1, label=label)
    axes.legend(fontsize=8, frameon=False, loc="lower left")


def draw_list(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Number, name, clip and speeds of each point, the fastest first."""
    axes.axis("off")
    height = max(18, len(rows) + 2)
    columns = ((0.0, "left"), (0.06, "left"), (0.68, "right"), (0.82, "right"), (1.0, "right"))

    def write(texts: Sequence[str], line: float, color: str) -> None:
        for (x, side), text in zip(columns, texts, strict=True):
            axes.text(x, 1 - line / height, text, fontsize=7.5, color=color, ha=side, transform=axes.transAxes)

    write(("", "network", "clips/s", "GFLOP/s", "clip"), 0, GREY)
    for i, row in enumerate(rows):
        speeds = f"{row['clips_per_s']:#.3g}".removesuffix("."), f"{row['gflops_per_s']:.4g}"
        clip = f"{row['subject']['frames']} x {row['subject']['size']}"
        write((str(i + 1), row["name"], *speeds, clip), i + 1.4, color_of(row))


def color_of(row: Mapping[str, Any]) -> str:
    """Ours or a peer."""
    return ORANGE if row["subject"]["side"] == "peer" else BLUE
