"""The loss over growing learning rates, with the suggested one marked."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from video_rs.reports.plots import BLUE, GREY, ORANGE, hide_frame

MOST_MARKED = 25  # points with a marker each; of more, the line alone


def rate_plot(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    suggested: float | None,
    unstable: float | None,
) -> Figure:
    """Draw losses over rates on a logarithmic axis: each faintly, and smoothed.

    Args:
        rates, losses, smoothed: of one length, finite; may be empty.
        suggested: one of ``rates``, or None; a point and a dashed line.
        unstable: a rate above which the loss rose or diverged, or None; a dotted line.
    """
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")

    marker = None
    if len(rates) <= MOST_MARKED:
        marker = "o"
    axes.plot(rates, losses, color=BLUE, alpha=0.25, linewidth=0.8, marker=marker, markersize=3, label="loss of a step")
    axes.plot(rates, smoothed, color=BLUE, marker=marker, markersize=3, label="smoothed")

    if suggested is not None:
        axes.axvline(suggested, color=ORANGE, linestyle="--", linewidth=1)
        point = smoothed[list(rates).index(suggested)]
        axes.plot([suggested], [point], "o", color=ORANGE, markersize=7, label=f"suggested: {suggested:.2g}")
    if unstable is not None:
        axes.axvline(unstable, color=GREY, linestyle=":", linewidth=1.2, label=f"unstable above {unstable:.2g}")

    _set_limits(axes, rates, losses, unstable)
    axes.set_xlabel("learning rate", fontsize=9)
    axes.set_ylabel("loss", fontsize=9)
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.3)
    hide_frame(axes)
    # Above the axes, the legend stays clear of the curve wherever that goes.
    axes.legend(fontsize=8, frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.3)
    return figure


def _set_limits(axes: Axes, rates: Sequence[float], losses: Sequence[float], unstable: float | None) -> None:
    """Keep what matters large."""
    # Far above an unstable rate there is nothing but noise.
    if rates and unstable is not None:
        axes.set_xlim(right=min(rates[-1], 10 * unstable) * 1.2)

    # A loss that diverges would press all that matters into a flat line: twice the range of before is enough.
    if losses:
        low = min(losses)
        high = max(losses[: math.ceil(len(losses) / 2)])
        span = high - low or 1.0
        axes.set_ylim(low - 0.1 * span, high + span)
