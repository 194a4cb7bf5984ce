"""The page of predictions: one HTML file with its pictures inside; a script of its own sorts, searches and zooms.

Nothing is fetched from anywhere, and without scripts all but the confusion matrix can be read.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from video_rs.reports import plots
from video_rs.reports.calibration_plot import reliability_plot, views_plot
from video_rs.reports.page import data_uri, template
from video_rs.runtime.atomic import replace_text

MOST_OPEN = 20  # failed videos listed openly; more fold away
MOST_WRONG = 2000  # wrong videos listed; of more, the surest


class Number(NamedTuple):
    """A number of the headline: its name, its value as text, and its interval as text, or ""."""

    name: str
    value: str
    interval: str = ""


class ClassRow(NamedTuple):
    """A class of the table; the shares are in [0, 1]."""

    name: str
    videos: int
    predicted: int
    precision: float
    recall: float
    f1: float
    average_precision: float


class WrongVideo(NamedTuple):
    """A video whose best class is not the true one: class numbers, and the probability of the best one."""

    video: str
    true: int
    predicted: int
    score: float


class Shown(NamedTuple):
    """A video with some frames of it.

    Attributes:
        video: name.
        frames: uint8 ``[T, H, W, 3]``, or None where it cannot be read.
        true: names of its classes.
        top: (label, score) pairs, best first.
    """

    video: str
    frames: Any
    true: str
    top: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class ConfusionView:
    """The confusion matrix, which the page draws.

    Attributes:
        counts: int ``[K, K]``, rows true classes, columns predicted ones.
        order: the classes, similar ones together.
        wrong: videos that are wrong, the surest first.
    """

    counts: np.ndarray
    order: Sequence[int]
    wrong: Sequence[WrongVideo]


class ChangedVideo(NamedTuple):
    """A video that one of two networks has right, and the other one wrong; the scores are of the true class."""

    video: str
    true: str
    before: str
    after: str
    score_before: float
    score_after: float


@dataclass(frozen=True)
class Against:
    """Two networks on the same videos.

    Attributes:
        sentences: what the comparison says.
        gained, lost: videos that only the second one has right, and only the first one.
        classes: (class, recall of the first, recall of the second), the largest change first.
    """

    sentences: Sequence[str]
    gained: Sequence[ChangedVideo]
    lost: Sequence[ChangedVideo]
    classes: Sequence[tuple[str, float, float]]


@dataclass(frozen=True)
class PredictionsPage:
    """What the page shows; what is empty is left out, or said in words.

    Attributes:
        title: headline.
        numbers: accuracy and the like.
        facts: (name, value) of what was tested.
        notes: sentences under the numbers.
        label_names: of the K classes.
        confusion: None where videos have several classes, or none is known.
        classes: that some video has.
        bins: of the reliability curve; empty without one.
        by_views: number of views -> accuracy; empty where views were not kept.
        mistakes: the surest ones.
        failures: (video, reason).
        against: the comparison with another network, or None.
        config_text: of the run, as YAML; "" without one.
    """

    title: str
    numbers: Sequence[Number]
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    label_names: Sequence[str]
    confusion: ConfusionView | None = None
    classes: Sequence[ClassRow] = ()
    bins: Sequence[Any] = ()
    by_views: dict[int, float] = field(default_factory=dict)
    mistakes: Sequence[Shown] = ()
    failures: Sequence[tuple[str, str]] = ()
    against: Against | None = None
    config_text: str = ""


def write_predictions_page(path: str | Path, page: PredictionsPage) -> None:
    """Write the page, whole or not at all."""
    reliability = views = None
    if page.bins:
        reliability = data_uri(plots.png(reliability_plot({"": page.bins})))
    if page.by_views:
        views = data_uri(plots.png(views_plot(page.by_views)))
    html = template("predictions.html.j2", percent=lambda share: f"{100 * share:.1f} %").render(
        page=page,
        written=time.strftime("%Y-%m-%d %H:%M"),
        matrix=_matrix_data(page),
        wrong_in_all=0 if page.confusion is None else len(page.confusion.wrong),
        reliability=reliability,
        views=views,
        mistakes=[_shown(mistake) for mistake in page.mistakes],
        failures_open=len(page.failures) <= MOST_OPEN,
    )
    replace_text(Path(path), html)


def _matrix_data(page: PredictionsPage) -> dict[str, Any] | None:
    """Return what the script draws: names, order, the cells that are not empty, wrong videos."""
    if page.confusion is None:
        return None
    counts = page.confusion.counts
    cells = [[int(row), int(column), int(counts[row, column])] for row, column in np.argwhere(counts)]
    return {
        "names": list(page.label_names),
        "order": list(page.confusion.order),
        "cells": cells,
        "wrong": [list(video) for video in page.confusion.wrong[:MOST_WRONG]],
    }


def _shown(video: Shown) -> dict[str, Any]:
    """Return a video as the template takes it."""
    image = None
    frames = 0
    if video.frames is not None:
        image = data_uri(plots.montage(video.frames))
        frames = min(len(video.frames), plots.STRIP_FRAMES)
    return {"video": video.video, "image": image, "frames": frames, "true": video.true, "top": video.top}
