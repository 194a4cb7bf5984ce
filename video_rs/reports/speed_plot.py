"""Speed of networks: a row for each that a benchmark measured, so that no two can hide each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from video_rs.reports.plots import BLUE, GREY, ORANGE

ROW_HEIGHT, BARS_HEIGHT = 0.42, 0.62  # inches; share of a row
NAME_WIDTH, BARS_WIDTH, NUMBER_WIDTH = 2.6, 2.5, 1.0  # inches
TOP, BOTTOM = 0.55, 0.45  # inches


def speed_plot(rows: Sequence[Mapping[str, Any]], peak: float | None) -> Figure:
    """Clips per second and GFLOP per second, two bars a row, the fastest first; peers in another colour.

    Args:
        rows: of a benchmark's JSON; those without ``clips_per_s`` (single layers) are left out.
        peak: GFLOP/s of the best single layer, drawn as a line, or None.
    """
    shown = sorted((row for row in rows if row["clips_per_s"]), key=lambda row: row["clips_per_s"], reverse=True)
    width, height = NAME_WIDTH + 2 * (BARS_WIDTH + NUMBER_WIDTH), TOP + BOTTOM + ROW_HEIGHT * len(shown)
    figure = Figure(figsize=(width, height))
    speeds, rates = (
        figure.add_axes((left / width, BOTTOM / height, BARS_WIDTH / width, ROW_HEIGHT * len(shown) / height))
        for left in (NAME_WIDTH, NAME_WIDTH + BARS_WIDTH + NUMBER_WIDTH)
    )
    for axes, key in ((speeds, "clips_per_s"), (rates, "gflops_per_s")):
        axes.barh(range(len(shown)), [row[key] for row in shown], BARS_HEIGHT, color=[color_of(row) for row in shown])
        frame(axes, len(shown))
    names(speeds, shown)
    speeds.set_title("clips per second", fontsize=9, loc="left", pad=18)
    rates.set_title("GFLOP per second (2 per multiply-add)", fontsize=9, loc="left", pad=18)
    numbers(speeds, 1.2, [digits(row["clips_per_s"]) for row in shown])
    numbers(rates, 1.2, [digits(row["gflops_per_s"]) for row in shown])
    if peak:
        numbers(rates, 1.38, [f"{row['gflops_per_s'] / peak:.0%}" for row in shown])
        draw_peak(rates, peak)
    return figure


def color_of(row: Mapping[str, Any]) -> str:
    """Ours or a peer."""
    return ORANGE if row["subject"]["how"] == "as shipped" else BLUE


def frame(axes: Axes, count: int) -> None:
    """One row of one height for each network, the first on top."""
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xlim(left=0)
    axes.tick_params(labelsize=8)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def names(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Left of the bars: the name, under it clip and work."""
    for i, row in enumerate(rows):
        subject, place = row["subject"], {"transform": axes.get_yaxis_transform(), "ha": "right"}
        clip = f"{subject['batch']} x {subject['frames']} x {subject['size']}"
        work = f"{clip}, {digits(row['gflop_per_clip'])} GFLOP a clip"
        axes.text(-0.03, i, row["name"], fontsize=8, va="bottom", color=color_of(row), **place)
        axes.text(-0.03, i + 0.06, work, fontsize=6.5, va="top", color=GREY, **place)


def numbers(axes: Axes, right: float, texts: Sequence[str]) -> None:
    """A column beside the bars that ends at ``right`` (1 is where the bars' axis ends): what they say exactly."""
    for i, text in enumerate(texts):
        axes.text(right, i, text, fontsize=8, ha="right", va="center", transform=axes.get_yaxis_transform())


def draw_peak(axes: Axes, peak: float) -> None:
    """The machine's best convolution rate: a line, named above the bars."""
    axes.axvline(peak, linestyle="--", color=GREY, linewidth=1)
    axes.set_xlim(right=max(axes.get_xlim()[1], 1.05 * peak))
    side = "right" if peak > axes.get_xlim()[1] / 2 else "left"
    axes.text(peak, -0.6, f"best single layer, {digits(peak)}", fontsize=7.5, color=GREY, ha=side, va="bottom")


def digits(value: float) -> str:
    """Three of them that count, zeros at the end included, and never a power of ten: 3.00, 44.0, 0.00500, 12345."""
    return f"{value:#.3g}".removesuffix(".") if value < 999.5 else f"{value:.0f}"
