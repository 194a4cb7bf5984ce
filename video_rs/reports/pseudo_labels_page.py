"""The page of a selection of pseudo-labels: confidences, classes before and after, and clips to look at."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from video_rs.reports import plots
from video_rs.reports.page import data_uri, template
from video_rs.runtime.atomic import replace_text

BINS = 20
GENERATOR = "video-rs select_pseudo_labels"
"""By which a page says near its beginning what it is."""
START = 4096  # bytes of a page that are looked at for that


class ClassCount(NamedTuple):
    """A class: its videos as the teacher has them, those that were chosen, and their rows with repetition."""

    name: str
    before: int
    after: int
    rows: int


class Clip(NamedTuple):
    """A video to show.

    Attributes:
        video: its id.
        level: "high", "middle" or "low", among the videos of its class.
        confidence: in [0, 1].
        taken: whether it was chosen.
        frames: uint8 ``[0..3, h, w, 3]``, none where nothing could be decoded.
    """

    video: str
    level: str
    confidence: float
    taken: bool
    frames: np.ndarray


@dataclass(frozen=True)
class PseudoLabelsPage:
    """What the page shows.

    Attributes:
        title: headline.
        numbers: (name, value) of the summary.
        notes: sentences under them.
        threshold: least confidence.
        confidences: of all videos that could be read.
        classes: in the order of the label map.
        clips: (class, its clips) pairs.
    """

    title: str
    numbers: Sequence[tuple[str, str]]
    notes: Sequence[str]
    threshold: float
    confidences: np.ndarray
    classes: Sequence[ClassCount]
    clips: Sequence[tuple[str, Sequence[Clip]]]


def write_pseudo_labels_page(path: str | Path, page: PseudoLabelsPage) -> None:
    """Write the page, whole or not at all."""
    most = max([1, *(max(row.before, row.rows) for row in page.classes)])
    clips = [(name, [_shown(clip) for clip in of_class]) for name, of_class in page.clips]
    html = template("pseudo_labels.html.j2").render(
        page=page,
        generator=GENERATOR,
        written=time.strftime("%Y-%m-%d %H:%M"),
        histogram=data_uri(plots.png(confidence_plot(page.confidences, page.threshold))),
        most=most,
        clips=clips,
    )
    replace_text(Path(path), html)


def is_pseudo_labels_page(path: Path) -> bool:
    """Return whether a file is such a page."""
    with path.open("rb") as file:
        return GENERATOR.encode() in file.read(START)


def confidence_plot(confidences: np.ndarray, threshold: float) -> Figure:
    """Return a histogram of confidences in [0, 1] with the threshold in it."""
    figure = Figure(figsize=(5.2, 2.8), layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(0, 1, BINS + 1)
    axes.hist(confidences, bins=edges, color=plots.BLUE, edgecolor="white", linewidth=0.5)
    axes.axvline(threshold, color=plots.ORANGE, linewidth=1.5)
    # Above the axes, where no bar can hide it; never beyond an edge.
    place = "left" if threshold < 0.2 else "right" if threshold > 0.8 else "center"
    axes.set_title(f"threshold {threshold:g}", x=threshold, color=plots.ORANGE, fontsize=8, ha=place, pad=3)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("confidence: probability of the best class", fontsize=9)
    axes.set_ylabel("videos", fontsize=9)
    axes.tick_params(labelsize=8)
    plots.hide_frame(axes)
    return figure


def _shown(clip: Clip) -> dict[str, Any]:
    """Return a clip as the template takes it."""
    image = None
    if len(clip.frames):
        image = data_uri(plots.montage(clip.frames))
    return {**clip._asdict(), "frames": len(clip.frames), "image": image}
