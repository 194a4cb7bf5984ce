"""The picture of a confusion matrix: shares of the rows as colours, with counts and names where there is room."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from video_rs.reports.confusion import row_shares
from video_rs.reports.drawn_names import drawable, shortened

MOST_NAMED = 40  # classes whose names fit on the axes
MOST_COUNTED = 12  # classes whose cells have room for a number
NAME_LENGTH = 26  # letters at most


def confusion_matrix(counts: np.ndarray, names: Sequence[str]) -> Figure:
    """Draw row shares: with numbers to 12 classes, with names to 40.

    Args:
        counts: int64 ``[K, K]``, rows the true class.
        names: of the K classes.
    """
    side = max(1.2, _cell_size(len(names)) * len(names))
    figure = Figure(figsize=(side, side))
    # The matrix fills the figure, and what stands around it lies outside: png() cuts around all that is drawn, and
    # labels of any length neither shrink the cells nor get cut.
    axes = figure.add_axes((0, 0, 1, 1))

    # Among many classes a single error is a faint dot: the square root lifts it to where it is seen.
    exponent = 1.0
    if len(names) > MOST_NAMED:
        exponent = 0.5
    shares = row_shares(counts)
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(exponent, vmin=0, vmax=1))
    _add_scale(figure, image, side)

    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    _name_ticks(axes, names)
    if len(names) <= MOST_COUNTED:
        _write_counts(axes, counts, shares)
    return figure


def _cell_size(classes: int) -> float:
    """Return the inches of a cell: room for a number, for a name beside it, or for neither."""
    if classes <= MOST_COUNTED:
        return 0.42
    if classes <= MOST_NAMED:
        return 0.17
    return 5.5 / classes


def _add_scale(figure: Figure, image: ScalarMappable, side: float) -> None:
    """Draw what the colours mean at the right of the matrix."""
    place = figure.add_axes((1 + 0.15 / side, 0, 0.13 / side, 1))
    bar = figure.colorbar(image, cax=place)
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    bar.ax.tick_params(labelsize=8)
    bar.set_label("share of the true class", fontsize=8)


def _name_ticks(axes: Axes, names: Sequence[str]) -> None:
    """Write the names of few classes beside the axes; of many, say that the ticks are label numbers."""
    if len(names) > MOST_NAMED:
        axes.set_xlabel("predicted (label number)")
        axes.set_ylabel("true (label number)")
        return

    size = 7
    rotation = 90
    if len(names) <= MOST_COUNTED:
        size = 8
        rotation = 45

    # parse_math: a "$" in a label is a dollar sign, not the start of a formula.
    shown = tick_texts(names)
    look = {"fontsize": size, "parse_math": False}
    axes.set_yticks(range(len(names)), shown, **look)
    axes.set_xticks(range(len(names)), shown, rotation=rotation, ha="right", rotation_mode="anchor", **look)
    if rotation == 90:
        for tick in axes.get_xticklabels():
            tick.set_va("center")


def tick_texts(names: Sequence[str]) -> list[str]:
    """Return short names, with their label numbers where two look alike, and where letters give way to boxes."""
    shown = []
    for index, name in enumerate(names):
        text = drawable(name)
        if text == name:
            shown.append(shortened(text, NAME_LENGTH))
        else:
            shown.append(f"{index} {shortened(text, NAME_LENGTH)}")

    if len(set(shown)) == len(shown):
        return shown
    return [f"{index} {shortened(drawable(name), NAME_LENGTH)}" for index, name in enumerate(names)]


def _write_counts(axes: Axes, counts: np.ndarray, shares: np.ndarray) -> None:
    """Write the number of videos into every cell, white on dark ones."""
    for (row, column), count in np.ndenumerate(counts):
        color = "black"
        if shares[row, column] > 0.55:
            color = "white"
        axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=color)
