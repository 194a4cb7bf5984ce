"""Speed against arithmetic: a numbered point for each network that a benchmark measured, named in a list beside."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from video_rs.reports.plots import BLUE, GREY, ORANGE

LINE = 0.2  # inches of a line of the list
NUMBER_LEFT, NUMBERS_IN_HEIGHT = 1.13, 22  # a number's x below its point's; numbers that fit above one another


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
    places = number_places(axes, shown)
    for i, row in enumerate(shown):
        x, y, color = row["gflop_per_clip"], row["clips_per_s"], color_of(row)
        axes.plot(x, y, "o", color=color, markersize=5)
        line = {"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 2}
        look = {"va": "center", "ha": "right", "fontsize": 8, "color": color, "arrowprops": line}
        axes.annotate(str(i + 1), (x, y), xytext=(x / NUMBER_LEFT, places[i]), **look)
    draw_list(listing, shown)
    return figure


def number_places(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Heights of the numbers, left of their points, so far apart that no two of neighbouring points touch."""
    bottom, top = axes.get_ylim()
    apart = (top / bottom) ** (1 / NUMBERS_IN_HEIGHT)
    places: list[float] = []
    for i, row in enumerate(rows):  # the fastest first
        x = row["gflop_per_clip"]
        above = [
            place for other, place in zip(rows, places, strict=False) if 1 / 1.5 < other["gflop_per_clip"] / x < 1.5
        ]
        places.append(min([rows[i]["clips_per_s"], *(place / apart for place in above)]))
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
    columns = ((0.0, ""), (0.06, "network"), (0.68, "clips/s"), (0.82, "GFLOP/s"), (1.0, "clip"))
    for x, title in columns:
        axes.text(x, 1, title, fontsize=7.5, color=GREY, ha="left" if x < 0.5 else "right", transform=axes.transAxes)
    for i, row in enumerate(rows):
        texts = (str(i + 1), row["name"], f"{row['clips_per_s']:#.3g}".removesuffix("."), f"{row['gflops_per_s']:.4g}")
        for (x, _), text in zip(
            columns, (*texts, f"{row['subject']['frames']} x {row['subject']['size']}"), strict=True
        ):
            side = "left" if x < 0.5 else "right"
            y = 1 - (i + 1.4) / height
            axes.text(x, y, text, fontsize=7.5, color=color_of(row), ha=side, transform=axes.transAxes)


def color_of(row: Mapping[str, Any]) -> str:
    """Ours or a peer."""
    return ORANGE if row["subject"]["how"] == "as shipped" else BLUE
