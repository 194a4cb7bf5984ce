"""Speed against arithmetic: one point for each network that a benchmark measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from video_rs.reports.plots import BLUE, GREY, ORANGE


def speed_plot(rows: Sequence[Mapping[str, Any]], peak: float | None) -> Figure:
    """Clips per second over GFLOP per clip, both logarithmic; the line is the machine's best convolution rate.

    Args:
        rows: of a benchmark's JSON; those without ``clips_per_s`` (single layers) are left out.
        peak: GFLOP/s of the best single layer, or None.
    """
    points = [row for row in rows if row["clips_per_s"]]
    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for i, row in enumerate(sorted(points, key=lambda row: row["clips_per_s"])):
        x, y = row["gflop_per_clip"], row["clips_per_s"]
        color = BLUE if row["subject"]["how"] != "as shipped" else ORANGE
        axes.plot(x, y, "o", color=color, markersize=5)
        # Points of one network share their x: names stand in turn on either side.
        left = i % 2 == 1
        axes.annotate(
            row["name"],
            (x, y),
            xytext=(-7 if left else 7, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=7.5,
        )
    works = [row["gflop_per_clip"] for row in points]
    low, high = min(works) / 3, max(works) * 3
    if peak:
        axes.plot([low, high], [peak / low, peak / high], "--", color=GREY, linewidth=1)
        axes.annotate(
            f"best single layer, {peak:.0f} GFLOP/s", (low, peak / low), fontsize=7.5, color=GREY, va="bottom"
        )
    axes.set(xscale="log", yscale="log", xlabel="GFLOP per clip (2 per multiply-add)", ylabel="clips per second")
    axes.set_xlim(low, high)
    axes.grid(alpha=0.3, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
