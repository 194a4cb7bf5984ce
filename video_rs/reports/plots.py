"""Pictures for the report, drawn without pyplot: no global figure state, no display, safe beside other plots.

A curve takes the records of :func:`video_rs.reports.run_log.read_log` and returns a figure, or ``None`` where the
log has nothing to draw. :func:`png` and :func:`montage` give PNG bytes.
"""

import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator, PercentFormatter

from video_rs.reports.confusion import row_shares
from video_rs.runtime.errors import InputError

DPI = 170  # drawn for about half this many CSS pixels an inch, so that it stays sharp on dense screens and on paper
BLUE, ORANGE, GREY, GREEN = "#0b5fa5", "#c8500a", "#5f6368", "#2e7d32"
MOST_NAMED = 40  # classes whose names fit on the axes of a confusion matrix
MOST_COUNTED = 12  # classes whose cells have room for a number
NAME_LENGTH = 26
STRIP_FRAMES, STRIP_HEIGHT, STRIP_GAP = 8, 128, 4  # frames; pixels at most; white pixels between frames


class Line(NamedTuple):
    """One curve; ``dense`` ones (a value every few steps) are drawn faintly under their running mean."""

    label: str
    steps: list[int]
    values: list[float]
    color: str = BLUE
    style: str = "-"
    dense: bool = True


def series(log: Sequence[dict[str, Any]], kind: str, key: str) -> tuple[list[int], list[float]]:
    """Steps and finite values of ``key`` in the records of ``kind``; records without it are passed over."""
    points = [
        (record["step"], float(record[key]))
        for record in log
        if record.get("kind") == kind and "step" in record and _is_finite(record.get(key))
    ]
    return [step for step, _ in points], [value for _, value in points]


def running_mean(values: Sequence[float], span: float) -> list[float]:
    """Exponential mean over about ``span`` values, corrected at its start so that the first value is its own mean."""
    keep, total, weight, means = 1 - 1 / span, 0.0, 0.0, []
    for value in values:
        total, weight = keep * total + value, keep * weight + 1
        means.append(total / weight)
    return means


def loss_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Training and validation loss over steps."""
    train = Line("train", *series(log, "train", "loss"))
    validation = Line("validation", *series(log, "validation", "loss"), ORANGE, dense=False)
    return _chart([train, validation], "loss")


def accuracy_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Training top-1, validation top-1, top-k and mAP in per cent over steps; k is the last one logged."""
    ks = series(log, "validation", "k")[1]
    k = int(ks[-1]) if ks else "k"
    train = Line("train top-1", *series(log, "train", "top1"))
    top1 = Line("validation top-1", *series(log, "validation", "top1"), ORANGE, dense=False)
    topk = Line(f"validation top-{k}", *series(log, "validation", "topk"), GREY, "--", dense=False)
    precision = Line("validation mAP", *series(log, "validation", "map"), GREEN, dense=False)
    return _chart([train, top1, *([] if k == 1 else [topk]), precision], "accuracy", percent=True)


def learning_rate_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Learning rate over steps."""
    steps, values = series(log, "train", "lr")
    return _chart([Line("learning rate", steps, values, dense=False)], "learning rate")


def gradient_norm_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Gradient norm over steps."""
    return _chart([Line("gradient norm", *series(log, "train", "grad_norm"))], "gradient norm")


def update_ratio_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Norm of a step's change of the weights over theirs, over steps."""
    return _chart([Line("update ratio", *series(log, "train", "update_ratio"))], "change over weights")


def throughput_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Training clips per second over steps."""
    return _chart([Line("clips per second", *series(log, "train", "clips_per_s"))], "clips per second")


def data_wait_curve(log: Sequence[dict[str, Any]]) -> Figure | None:
    """Share of the step time spent waiting for data, in per cent, over steps."""
    return _chart([Line("waiting", *series(log, "train", "data_wait"))], "share of step time", percent=True)


def confusion_matrix(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """int64 [K,K] (rows true) -> a picture of row shares: with numbers to 12 classes, with names to 40.

    Names the font cannot draw (Chinese, say) give way to label numbers, on both axes alike.
    """
    side = max(1.2, _cell_size(len(names)) * len(names))
    figure = Figure(figsize=(side, side))
    # The matrix fills the figure, and what stands around it lies outside: png() cuts around all that is drawn, so
    # labels of any length neither shrink the cells nor get cut.
    axes = figure.add_axes((0, 0, 1, 1))
    # Among many classes a single error is a faint dot: the square root lifts it to where one sees it.
    norm = PowerNorm(1.0 if len(names) <= MOST_NAMED else 0.5, vmin=0, vmax=1)
    image = axes.imshow(row_shares(counts), cmap="Blues", norm=norm)
    bar = figure.colorbar(image, cax=figure.add_axes((1 + 0.15 / side, 0, 0.13 / side, 1)))
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bar.set_label("share of the true class", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    _name_ticks(axes, names)
    if len(names) <= MOST_COUNTED:
        _write_counts(axes, counts)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes on white."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white", bbox_inches="tight", pad_inches=0.05)
    return buffer.getvalue()


def png_width(picture: bytes) -> int:
    """Width in pixels, read from the PNG header."""
    return int.from_bytes(picture[16:20], "big")


def montage(frames: Any) -> bytes:
    """A clip as a film strip: uint8 [T,H,W,3] (array or CPU tensor) -> PNG bytes.

    Shows at most 8 frames, first and last included, shrunk by a whole factor (mean of each block) to at most 128 rows,
    with 4 white columns between them.

    Raises:
        InputError: another dtype or shape, or no frame.
    """
    clip = np.asarray(frames)
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3 or 0 in clip.shape:
        raise InputError(f"clip: got {clip.dtype} {list(clip.shape)}, expected uint8 [T,H,W,3] with T, H, W > 0")
    shown = np.linspace(0, len(clip) - 1, min(len(clip), STRIP_FRAMES)).round().astype(np.int64)
    small = _shrink(clip[shown])  # [t,h,w,3]
    gap = np.full((small.shape[1], STRIP_GAP, 3), 255, dtype=np.uint8)
    pieces = [piece for frame in small for piece in (frame, gap)][:-1]
    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(np.concatenate(pieces, axis=1)), format="png")
    return buffer.getvalue()


def _shrink(clip: np.ndarray) -> np.ndarray:
    factor = math.ceil(clip.shape[1] / STRIP_HEIGHT)
    if factor == 1 or clip.shape[2] < factor:
        return clip
    length, height, width = len(clip), clip.shape[1] // factor, clip.shape[2] // factor
    blocks = clip[:, : height * factor, : width * factor]
    blocks = blocks.reshape(length, height, factor, width, factor, 3)
    return blocks.mean(axis=(2, 4)).round().astype(np.uint8)  # [t,h,f,w,f,3] -> [t,h,w,3]


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _chart(lines: Sequence[Line], ylabel: str, percent: bool = False) -> Figure | None:
    drawn = [line for line in lines if line.values]
    if not drawn:
        return None
    figure = Figure(figsize=(4.6, 2.7), layout="constrained")
    axes = figure.subplots()
    for line in drawn:
        _draw(axes, line)
    axes.set_xlabel("step", fontsize=9)
    axes.set_ylabel(ylabel, fontsize=9)
    axes.tick_params(labelsize=9)
    if len({step for line in drawn for step in line.steps}) == 1:
        axes.set_xlim(drawn[0].steps[0] - 1, drawn[0].steps[0] + 1)  # else one step gets ticks like 0.96
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if percent:
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if len(lines) > 1:
        axes.legend(fontsize=8, frameon=False)
    return figure


def _draw(axes: Axes, line: Line) -> None:
    # Few points get markers: a run with one logged step would draw nothing otherwise.
    marker = "o" if len(line.values) <= 25 else None
    look = {"color": line.color, "linestyle": line.style, "marker": marker, "markersize": 4}
    if line.dense and marker is None:
        axes.plot(line.steps, line.values, color=line.color, alpha=0.25, linewidth=0.8)
        axes.plot(line.steps, running_mean(line.values, len(line.values) / 25), label=line.label, **look)
    else:
        axes.plot(line.steps, line.values, label=line.label, **look)


def _cell_size(classes: int) -> float:
    """Inches a cell: room for a number, for a name beside it, or for neither."""
    if classes <= MOST_COUNTED:
        return 0.42
    return 0.17 if classes <= MOST_NAMED else 5.5 / classes


def _name_ticks(axes: Axes, names: Sequence[str]) -> None:
    if len(names) > MOST_NAMED:
        axes.set_xlabel("predicted (label number)")
        axes.set_ylabel("true (label number)")
        return
    shown = _tick_texts(names)
    size = 8 if len(names) <= MOST_COUNTED else 7
    rotation = 45 if len(names) <= MOST_COUNTED else 90
    places = range(len(names))
    # parse_math: a "$" in a label is a dollar sign, not the start of a formula.
    axes.set_yticks(places, shown, fontsize=size, parse_math=False)
    anchor = {"rotation": rotation, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(places, shown, fontsize=size, parse_math=False, **anchor)
    for tick in axes.get_xticklabels() if rotation == 90 else []:
        tick.set_va("center")


def _tick_texts(names: Sequence[str]) -> list[str]:
    """Short names; with their label numbers where two look alike; the numbers alone where the font lacks a letter."""
    if not all(map(_has_glyphs, names)):
        return [str(index) for index in range(len(names))]
    shown = [_shortened(name) for name in names]
    alike = len(set(shown)) < len(shown)
    return [f"{index} {text}" for index, text in enumerate(shown)] if alike else shown


def _has_glyphs(name: str) -> bool:
    font = get_font(findfont(FontProperties()))
    return all(font.get_char_index(ord(letter)) for letter in name)


def _shortened(name: str) -> str:
    """At most 26 letters, cut in the middle: labels often differ in their last word only."""
    if len(name) <= NAME_LENGTH:
        return name
    half = (NAME_LENGTH - 1) // 2
    return f"{name[:half].rstrip()}…{name[-half:].lstrip()}"


def _write_counts(axes: Axes, counts: np.ndarray) -> None:
    shares = row_shares(counts)
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.55 else "black"
        axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=color)
