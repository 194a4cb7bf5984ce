"""The doctor's page: what is wrong with a data set, with pictures; and how its videos and classes are spread."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from video_rs.reports import plots
from video_rs.reports.page import data_uri, template
from video_rs.runtime.atomic import replace_text

MOST_BARS = 12  # values with a bar of their own; of more, a histogram
MOST_CLASSES = 40  # listed one by one; of more, the rarest and the most frequent half of this


class Picture(NamedTuple):
    """A row of the data set to show.

    Attributes:
        video: id of the row.
        label: class names.
        split: of the row.
        detail: what was found.
        frames: uint8 ``[0..3, h, w, 3]``, none where nothing could be decoded.
    """

    video: str
    label: str
    split: str
    detail: str
    frames: np.ndarray


class FindingKind(NamedTuple):
    """A kind of finding, what it means, how many rows it concerns, and some of these rows."""

    name: str
    meaning: str
    rows: int
    pictures: Sequence[Picture]


class Spread(NamedTuple):
    """One number of each video that can be read, for a histogram."""

    title: str
    axis: str
    values: list[float]


@dataclass(frozen=True)
class CheckPage:
    """What the page shows; what is empty is said in words.

    Attributes:
        title: headline.
        clean: whether no row has a problem.
        rows: number of rows of the data set.
        quarantined: number of rows that have a problem.
        problems: kinds of findings that have sent rows to quarantine; kinds without rows are left out.
        notes: kinds of findings that are worth knowing; kinds without rows are left out.
        class_notes: sentences on classes.
        rate_note: a sentence on the rates of the videos, or nothing.
        classes: split -> class -> number of rows.
        spreads: histograms.
        sound: rows without findings to look at.
    """

    title: str
    clean: bool
    rows: int
    quarantined: int
    problems: Sequence[FindingKind]
    notes: Sequence[FindingKind]
    class_notes: Sequence[str]
    rate_note: str
    classes: Mapping[str, Mapping[str, int]]
    spreads: Sequence[Spread]
    sound: Sequence[Picture]


class _Bar(NamedTuple):
    """A class in the table: its rows, their share of the rows of the most frequent class, and the rows by split."""

    name: str
    rows: int
    share: float
    splits: list[int]


def write_check_page(path: str | Path, page: CheckPage) -> None:
    """Write the page, whole or not at all."""
    charts = []
    for spread in page.spreads:
        if spread.values:
            charts.append((spread.title, data_uri(plots.png(_histogram(spread)))))

    values = {
        "title": page.title,
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "clean": page.clean,
        "rows": page.rows,
        "quarantined": page.quarantined,
        "problems": _shown_kinds(page.problems),
        "notes": _shown_kinds(page.notes),
        "class_notes": list(page.class_notes),
        "rate_note": page.rate_note,
        "splits": {split or "all rows": sum(counts.values()) for split, counts in page.classes.items()},
        "parts": _class_parts(page.classes),
        "charts": charts,
        "sound": [_shown_picture(picture) for picture in page.sound],
    }
    replace_text(Path(path), template("check.html.j2").render(values))


def _shown_kinds(kinds: Sequence[FindingKind]) -> list[dict[str, Any]]:
    """Return the kinds that concern rows, as the template takes them."""
    shown = []
    for kind in kinds:
        if kind.rows:
            pictures = [_shown_picture(picture) for picture in kind.pictures]
            shown.append({**kind._asdict(), "pictures": pictures})
    return shown


def _shown_picture(picture: Picture) -> dict[str, Any]:
    """Return a picture as the template takes it."""
    image = None
    if len(picture.frames):
        image = data_uri(plots.montage(picture.frames))
    return {**picture._asdict(), "frames": len(picture.frames), "image": image}


def _class_parts(classes: Mapping[str, Mapping[str, int]]) -> list[tuple[str, list[_Bar]]]:
    """Return (heading, classes) pairs: all classes under no heading, or the rarest and the most frequent of many."""
    total: Counter[str] = Counter()
    for counts in classes.values():
        total.update(counts)
    if not total:
        return []

    most = max(total.values())
    bars = []
    for name, count in sorted(total.items(), key=lambda item: (item[1], item[0])):
        of_splits = [counts.get(name, 0) for counts in classes.values()]
        bars.append(_Bar(name, count, count / most, of_splits))

    most_frequent_first = bars[::-1]
    if len(bars) <= MOST_CLASSES:
        return [("", most_frequent_first)]
    half = MOST_CLASSES // 2
    return [(f"Rarest {half}", bars[:half]), (f"Most frequent {half}", most_frequent_first[:half])]


def _histogram(spread: Spread) -> Figure:
    """Return a picture of how the values are spread."""
    figure = Figure(figsize=(5.2, 2.6), layout="constrained")
    axes = figure.subplots()
    _draw_spread(axes, np.sort(np.asarray(spread.values, float)))

    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(spread.axis, fontsize=9)
    axes.set_ylabel("videos", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_spread(axes: Axes, values: np.ndarray) -> None:
    """Draw a bar for each of a few values, or a histogram of many."""
    # Values that look alike as text are one bar: two bars would have one label, and the second would hide the first.
    bars = Counter(f"{value:.4g}" for value in values)
    if len(bars) > MOST_BARS:
        axes.hist(values, bins=24, color=plots.BLUE)
        return

    axes.bar(range(len(bars)), bars.values(), tick_label=list(bars), color=plots.BLUE)
    axes.set_xlim(-1, max(len(bars), 4))  # one bar alone would fill the picture
