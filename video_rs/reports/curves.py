"""The curves of a run over its steps.

A curve takes the records of :func:`video_rs.reports.run_log.read_log` and returns a figure, or None where the log has
nothing to draw.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from video_rs.reports.plots import BLUE, GREEN, GREY, ORANGE, PURPLE, hide_frame

# What objectives log of the parts of their loss: key, name, colour.
LOSS_PARTS = (
    ("labelled_loss", "train, labelled", GREEN),
    ("pseudo_loss", "train, pseudo-labelled", PURPLE),
    ("label_loss", "train, labels", GREEN),
    ("distill_loss", "train, teacher", PURPLE),
)
MOST_MARKED = 25  # points with a marker each; of more, the line alone


class Line(NamedTuple):
    """One curve.

    Attributes:
        label: for the legend.
        steps: of the values.
        values: as many.
        color, style: matplotlib's.
        dense: whether there is a value every few steps. Many of them are drawn faintly under their running mean.
    """

    label: str
    steps: list[int]
    values: list[float]
    color: str = BLUE
    style: str = "-"
    dense: bool = True


def series(log: Sequence[dict[str, Any]], kind: str, key: str) -> tuple[list[int], list[float]]:
    """Return steps and finite values of ``key`` in the records of ``kind``; records without it are passed over."""
    steps = []
    values = []
    for record in log:
        if record.get("kind") != kind or "step" not in record:
            continue
        value = record.get(key)
        if isinstance(value, int | float) and math.isfinite(value):
            steps.append(record["step"])
            values.append(float(value))
    return steps, values


def running_mean(values: Sequence[float], span: float) -> list[float]:
    """Return the exponential mean over about ``span`` values, corrected at its start: the first value is its own mean.

    The correction is that of Adam (Kingma and Ba 2015, section 3).
    """
    keep = 1 - 1 / span
    total = 0.0
    weight = 0.0
    means = []
    for value in values:
        total = keep * total + value
        weight = keep * weight + 1
        means.append(total / weight)
    return means


def loss_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Draw training and validation loss over steps, and the parts of the training loss, where it has some."""
    lines = [
        Line("train", *series(log, "train", "loss")),
        Line("validation", *series(log, "validation", "loss"), ORANGE, dense=False),
    ]
    for key, label, color in LOSS_PARTS:
        lines.append(Line(label, *series(log, "train", key), color))
    return _chart(lines, "loss")


def accuracy_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Draw training top-1, validation top-1, top-k and mAP in per cent over steps; k is the last one logged."""
    lines = [
        Line("train top-1", *series(log, "train", "top1")),
        Line("validation top-1", *series(log, "validation", "top1"), ORANGE, dense=False),
    ]

    k = "k"
    _, logged = series(log, "validation", "k")
    if logged:
        k = int(logged[-1])
    # Top-1 is there already.
    if k != 1:
        lines.append(Line(f"validation top-{k}", *series(log, "validation", "topk"), GREY, "--", dense=False))

    lines.append(Line("train, partner clip found", *series(log, "train", "partner_top1"), PURPLE))
    lines.append(Line("agreement with the teacher", *series(log, "train", "agreement"), PURPLE))
    lines.append(Line("validation mAP", *series(log, "validation", "map"), GREEN, dense=False))
    return _chart(lines, "accuracy", percent=True)


def learning_rate_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Draw the learning rate over steps."""
    return _chart([Line("learning rate", *series(log, "train", "lr"), dense=False)], "learning rate")


def gradient_norm_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Draw the gradient norm over steps."""
    return _chart([Line("gradient norm", *series(log, "train", "grad_norm"))], "gradient norm")


def update_ratio_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Draw the norm of a step's change of the weights over theirs, over steps."""
    return _chart([Line("update ratio", *series(log, "train", "update_ratio"))], "change over weights")


def throughput_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Draw training clips per second over steps."""
    return _chart([Line("clips per second", *series(log, "train", "clips_per_s"))], "clips per second")


def data_wait_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Draw the share of the step time that was spent waiting for data, in per cent, over steps."""
    return _chart([Line("waiting", *series(log, "train", "data_wait"))], "share of step time", percent=True)


def _chart(lines: Sequence[Line], ylabel: str, percent: bool = False) -> Figure | None:
    """Draw lines into axes of their own; None where no line has a point."""
    drawn = [line for line in lines if line.values]
    if not drawn:
        return None

    # Margins for tick labels of eight characters and, above, for a power of ten. They are the same in all charts, whose
    # axes stand in line on the page; a layout fitted to each chart takes as long as drawing it.
    figure = Figure(figsize=(4.8, 2.7))
    axes = figure.add_axes((0.19, 0.17, 0.79, 0.74))
    steps: set[int] = set()
    for line in drawn:
        _draw(axes, line)
        steps.update(line.steps)

    # A single step would get ticks like 0.96.
    if len(steps) == 1:
        [step] = steps
        axes.set_xlim(step - 1, step + 1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    if percent:
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))

    axes.set_xlabel("step", fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.3)
    hide_frame(axes)
    if len(lines) > 1:
        axes.legend(fontsize=8, frameon=False)
    return figure


def _draw(axes: Axes, line: Line) -> None:
    values = line.values
    marker = None
    # A run with one logged step would draw nothing without a marker.
    if len(values) <= MOST_MARKED:
        marker = "o"
    elif line.dense:
        axes.plot(line.steps, values, color=line.color, alpha=0.25, linewidth=0.8)
        values = running_mean(values, len(values) / 25)

    axes.plot(
        line.steps,
        values,
        label=line.label,
        color=line.color,
        linestyle=line.style,
        marker=marker,
        markersize=4,
    )
