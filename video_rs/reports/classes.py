"""What a report shows of the classes: the confusion matrix, and a bar for each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from video_rs.reports import plots
from video_rs.reports.confusion import ConfusedPair, class_accuracies, most_confused
from video_rs.reports.matrix_plot import MOST_NAMED, confusion_matrix
from video_rs.reports.page import data_uri

MOST_BARS = 40  # classes listed one by one; of more, the worst and the best half of this
MOST_PAIRS = 20


class ClassBar(NamedTuple):
    """One class of a list: its ``share`` in [0, 1] is drawn as a bar, ``count`` is text."""

    index: int
    name: str
    share: float
    count: str


@dataclass(frozen=True)
class ClassList:
    """The classes that have videos, worst first.

    Attributes:
        rows: all of them.
        parts: what is listed openly, as (heading, rows).
        absent: names of the classes without videos.
    """

    rows: list[ClassBar]
    parts: list[tuple[str, list[ClassBar]]]
    absent: list[str]


@dataclass(frozen=True)
class Matrix:
    """The confusion matrix and what is read off it.

    Attributes:
        image: picture as a data URI.
        width: CSS pixels of the picture.
        narrowest: CSS pixels to which it may shrink.
        videos: how many are counted.
        pairs: the most confused pairs.
        wrong_pairs: how many pairs are confused at all.
    """

    image: str
    width: int
    narrowest: int
    videos: int
    pairs: list[ConfusedPair]
    wrong_pairs: int


def matrix_of(counts: np.ndarray | None, names: Sequence[str]) -> Matrix | None:
    """Return the confusion matrix as the page shows it; None where nothing was counted."""
    if counts is None:
        return None

    picture = plots.png(confusion_matrix(counts, names), crop=True)
    width = round(100 * plots.png_width(picture) / plots.DPI)
    # A narrow screen scrolls sideways rather than shrinking the names out of sight; without names it shrinks.
    narrowest = 0
    if len(names) <= MOST_NAMED:
        narrowest = min(width, 480)

    wrong = np.count_nonzero(counts) - np.count_nonzero(counts.diagonal())
    pairs = most_confused(counts, names, MOST_PAIRS)
    return Matrix(data_uri(picture), width, narrowest, int(counts.sum()), pairs, int(wrong))


def accuracies_of(counts: np.ndarray | None, names: Sequence[str]) -> ClassList | None:
    """Return the accuracies of the classes; None where nothing was counted."""
    if counts is None:
        return None

    bars = []
    for row in class_accuracies(counts, names):
        bars.append(ClassBar(row.index, row.name, row.accuracy, f"{row.correct} / {row.total}"))
    return _class_list(bars, names)


def precisions_of(rows: Sequence[tuple[int, float, int]] | None, names: Sequence[str]) -> ClassList | None:
    """Return the average precisions of the classes; None where a video has one class."""
    if rows is None:
        return None

    bars = []
    for index, precision, videos in rows:
        bars.append(ClassBar(index, names[index], precision, str(videos)))
    bars.sort(key=lambda bar: bar.share)
    return _class_list(bars, names)


def _class_list(bars: list[ClassBar], names: Sequence[str]) -> ClassList:
    """Return a list of classes, of which many are cut to the worst and the best."""
    parts = [("", bars)]
    if len(bars) > MOST_BARS:
        half = MOST_BARS // 2
        best_first = bars[::-1]
        parts = [(f"Worst {half}", bars[:half]), (f"Best {half}", best_first[:half])]

    present = {bar.index for bar in bars}
    absent = [name for index, name in enumerate(names) if index not in present]
    return ClassList(bars, parts, absent)
