"""The doctor's page: what is wrong with a data set, with pictures; and how its videos and classes are spread."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from video_rs.reports import plots
from video_rs.reports.page import data_uri, template
from video_rs.runtime.atomic import replace_text

MOST_BARS = 12  # values with a bar of their own; of more, a histogram
MOST_CLASSES = 40  # listed one by one; of more, the rarest and the most frequent half of this


class Picture(NamedTuple):
    """A row of the data set to show: ``frames`` uint8 [0..3,h,w,3], none where nothing could be decoded."""

    video: str
    label: str
    split: str
    detail: str
    frames: np.ndarray


class Kind(NamedTuple):
    """A kind of finding: how many rows it concerns, and some of them."""

    name: str
    meaning: str
    rows: int
    pictures: Sequence[Picture]


class Spread(NamedTuple):
    """A number of each sound video, for a histogram."""

    title: str
    axis: str
    values: Sequence[float]


def write_check_page(
    path: str | Path,
    *,
    title: str,
    clean: bool,
    rows: int,
    quarantined: int,
    problems: Sequence[Kind],
    notes: Sequence[Kind],
    class_notes: Sequence[str],
    rate_note: str,
    classes: Mapping[str, Mapping[str, int]],
    spreads: Sequence[Spread],
    sound: Sequence[Picture],
) -> None:
    """Writes the page in one atomic step; what is empty is said in words.

    Args:
        path: the file to write.
        title: headline.
        clean: whether no row has a problem.
        rows, quarantined: of the data set.
        problems, notes: kinds of findings; those without rows are left out.
        class_notes: sentences on classes.
        rate_note: a sentence on the rates of the videos, or nothing.
        classes: split -> class -> number of rows.
        spreads: histograms.
        sound: rows without findings to look at.
    """
    page = {
        "title": title,
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "clean": clean,
        "rows": rows,
        "quarantined": quarantined,
        "problems": [_shown(kind) for kind in problems if kind.rows],
        "notes": [_shown(kind) for kind in notes if kind.rows],
        "class_notes": list(class_notes),
        "rate_note": rate_note,
        "splits": {split or "all rows": sum(counts.values()) for split, counts in classes.items()},
        "parts": _class_parts(classes),
        "charts": [(spread.title, data_uri(plots.png(_histogram(spread)))) for spread in spreads if len(spread.values)],
        "sound": [_picture(picture) for picture in sound],
    }
    replace_text(Path(path), template("check.html.j2").render(page))


def _shown(kind: Kind) -> dict[str, Any]:
    return {**kind._asdict(), "pictures": [_picture(picture) for picture in kind.pictures]}


def _picture(picture: Picture) -> dict[str, Any]:
    image = data_uri(plots.montage(picture.frames)) if len(picture.frames) else None
    return {**picture._asdict(), "frames": len(picture.frames), "image": image}


def _class_parts(classes: Mapping[str, Mapping[str, int]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(heading, classes) pairs: everything under no heading, or the rarest and the most frequent of many."""
    total = sum((Counter(counts) for counts in classes.values()), Counter())
    most = max(total.values(), default=1)
    bars = [
        {"name": name, "count": count, "share": count / most, "splits": [c.get(name, 0) for c in classes.values()]}
        for name, count in sorted(total.items(), key=lambda item: (item[1], item[0]))
    ]
    half = MOST_CLASSES // 2
    if len(bars) <= MOST_CLASSES:
        return [("", bars[::-1])] if bars else []
    return [(f"Rarest {half}", bars[:half]), (f"Most frequent {half}", bars[-half:][::-1])]


def _histogram(spread: Spread) -> Figure:
    figure = Figure(figsize=(5.2, 2.6), layout="constrained")
    axes = figure.subplots()
    values = np.sort(np.asarray(spread.values, float))
    # By what is written below: values that look alike are one bar, else one would hide the other.
    bars = Counter(f"{value:.4g}" for value in values)
    if len(bars) <= MOST_BARS:
        axes.bar(range(len(bars)), bars.values(), tick_label=list(bars), color=plots.BLUE)
        axes.set_xlim(-1, max(len(bars), 4))  # one bar alone would fill the picture
    else:
        axes.hist(values, bins=24, color=plots.BLUE)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(spread.axis, fontsize=9)
    axes.set_ylabel("videos", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
