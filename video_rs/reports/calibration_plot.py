"""Pictures of how far probabilities can be trusted: the reliability curve, and accuracy by the number of views."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter

from video_rs.reports.plots import BLUE, GREY, ORANGE, hide_frame


class ReliabilityBin(NamedTuple):
    """Videos of about the same confidence: its range and mean, how many they are, and the share that is right."""

    low: float
    high: float
    videos: int
    confidence: float
    accuracy: float


def reliability_plot(series: Mapping[str, Sequence[ReliabilityBin]]) -> Figure:
    """Return accuracy over confidence, and below it how many videos have which confidence.

    Args:
        series: name -> bins; a single one needs no legend.
    """
    figure = Figure(figsize=(4.4, 4.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    top.text(0.03, 0.08, "sure and right alike", color=GREY, fontsize=8, rotation=45, rotation_mode="anchor")
    for color, (name, bins) in zip((BLUE, ORANGE), series.items(), strict=False):
        confidence = [each.confidence for each in bins]
        top.plot(confidence, [each.accuracy for each in bins], "o-", color=color, markersize=4, label=name)
        places = [(each.low + each.high) / 2 for each in bins]
        widths = [each.high - each.low for each in bins]
        counts = [each.videos for each in bins]
        bottom.bar(places, counts, widths, color=color, alpha=0.55, edgecolor="white", linewidth=0.5)

    if len(series) > 1:
        top.legend(fontsize=8, loc="upper left", frameon=False)
    top.set_ylabel("right")
    top.set_ylim(-0.03, 1.03)
    top.yaxis.set_major_formatter(PercentFormatter(1, 0))
    bottom.set_ylabel("videos")
    bottom.set_xlabel("confidence: probability of the best class")
    bottom.set_xlim(-0.02, 1.02)
    bottom.xaxis.set_major_formatter(PercentFormatter(1, 0))
    for axes in (top, bottom):
        hide_frame(axes)
    return figure


def views_plot(accuracies: Mapping[int, float]) -> Figure:
    """Return accuracy over the number of views of a video."""
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    axes = figure.subplots()
    counts = list(accuracies)
    axes.plot(counts, list(accuracies.values()), "o-", color=BLUE, markersize=4)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("views of each video")
    axes.set_ylabel("top-1")
    axes.yaxis.set_major_formatter(PercentFormatter(1, 1))
    axes.grid(axis="y", color="#e8ecf0")
    hide_frame(axes)
    return figure
