"""The report page: one HTML file with its pictures inside, no script, no link to anywhere; good on screen and paper."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from video_rs.reports import curves, plots
from video_rs.reports.classes import accuracies_of, matrix_of, precisions_of
from video_rs.reports.confusion import checked
from video_rs.reports.page import data_uri, template
from video_rs.reports.summary import facts, percent, tiles
from video_rs.runtime.atomic import replace_text

MOST_FAILURES_OPEN = 20  # failed videos listed openly; more fold away
CHARTS = (
    ("Loss", curves.loss_curve, "No loss was logged."),
    ("Accuracy", curves.accuracy_curve, "No accuracy was logged."),
    ("Learning rate", curves.learning_rate_curve, "No learning rate was logged."),
    ("Gradient norm", curves.gradient_norm_curve, "No gradient norm was logged."),
    ("Update ratio", curves.update_ratio_curve, "No update ratio was logged."),
    ("Throughput", curves.throughput_curve, "No throughput was logged."),
    ("Waiting for data", curves.data_wait_curve, "No waiting time was logged."),
)


class Example(NamedTuple):
    """A clip to show.

    Attributes:
        frames: uint8 ``[T, H, W, 3]``, an array or a CPU tensor; about 0.3 MB of page.
        video: name of the video.
        true_label: several labels are joined by ``;`` as in list files; None where the truth is not known.
        top: (label, score) pairs, best first.
    """

    frames: Any
    video: str
    true_label: str | None
    top: list[tuple[str, float]]


@dataclass(frozen=True)
class Report:
    """What the page shows; what is empty is said in words.

    Attributes:
        title: headline, such as the run's name.
        summary: the keys of ``metrics.json`` (``top1``, ``topk``, ``k``, ``videos``, ``failed``, ``top1_all``,
            accuracies in [0, 1]) get names and per cents; ``top1_all`` is shown where videos failed. ``seconds``
            becomes a duration. Other keys are shown as given, strings untouched, floats to four digits.
        log: records of :func:`video_rs.reports.run_log.read_log`; empty for a test, whose page has no curves.
        confusion: int ``[K, K]`` counting videos, rows true, columns predicted; None before any validation, and where
            videos have several labels.
        precisions: (class, average precision in [0, 1], videos that have the class) where videos have several labels;
            shown in the place of the confusion matrix.
        label_names: the K names in label order.
        examples: clips to show.
        failures: (video, reason) of those that could not be read.
        config_text: the run's config as YAML.
        notes: sentences to show under the summary.
    """

    title: str
    summary: Mapping[str, str | int | float | None]
    log: Sequence[dict[str, Any]]
    confusion: Any
    precisions: Sequence[tuple[int, float, int]] | None
    label_names: Sequence[str]
    examples: Sequence[Example]
    failures: Sequence[tuple[str, str]]
    config_text: str
    notes: Sequence[str]


@dataclass(frozen=True)
class Chart:
    """A curve as a data URI, or None with the words that stand in its place."""

    title: str
    image: str | None
    empty: str


def write_report(path: str | Path, report: Report) -> None:
    """Write a report, whole or not at all; its folder is made where it lacks.

    Raises:
        InputError: the confusion matrix does not fit the names, or frames are not uint8 ``[T, H, W, 3]``.
    """
    counts = _counts(report)
    values = {
        "title": report.title,
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "tiles": tiles(report.summary),
        "facts": facts(report.summary),
        "notes": [*report.notes, *_not_finite_notes(report.log)],
        "charts": _charts(report.log),
        "validated": any(record.get("kind") == "validation" for record in report.log),
        "matrix": matrix_of(counts, report.label_names),
        "accuracies": accuracies_of(counts, report.label_names),
        "precisions": precisions_of(report.precisions, report.label_names),
        "examples": [_example(example) for example in report.examples],
        "failures": list(report.failures),
        "failures_open": len(report.failures) <= MOST_FAILURES_OPEN,
        "config_text": report.config_text.strip(),
    }
    page = template("report.html.j2", percent=percent).render(values)
    replace_text(Path(path), page)


def _not_finite_notes(log: Sequence[dict[str, Any]]) -> list[str]:
    """Return a sentence on steps that the curves cannot show, if there are any."""
    steps = []
    for record in log:
        # Means over several steps are records of training, steps that were left out are events.
        loss = record.get("loss")
        is_mean = isinstance(loss, float) and not math.isfinite(loss)
        if is_mean or record.get("event") == "non_finite":
            steps.append(record.get("step", "unknown"))
    if not steps:
        return []

    times = "once"
    if len(steps) > 1:
        times = f"{len(steps)} times"
    return [f"Loss or gradient were not finite {times}, first at step {steps[0]}; the curves leave that out."]


def _charts(log: Sequence[dict[str, Any]]) -> list[Chart]:
    """Return all curves, or nothing where none has a point."""
    charts = []
    for title, draw, empty in CHARTS:
        figure = draw(log)
        image = None
        if figure is not None:
            image = data_uri(plots.png(figure))
        charts.append(Chart(title, image, empty))

    if all(chart.image is None for chart in charts):
        return []
    return charts


def _counts(report: Report) -> np.ndarray | None:
    """Return the confusion matrix as int64 ``[K, K]``, or None where nothing was counted."""
    if report.confusion is None:
        return None
    counts = checked(report.confusion, report.label_names)
    if not counts.any():
        return None
    return counts


def _example(example: Example) -> dict[str, Any]:
    """Return an example as the template takes it."""
    true_labels = None
    if example.true_label is not None:
        true_labels = example.true_label.split(";")

    right = None
    if true_labels is not None and example.top:
        best_label, _ = example.top[0]
        right = best_label in true_labels

    return {
        "image": data_uri(plots.montage(example.frames)),
        "frames": min(len(example.frames), plots.STRIP_FRAMES),
        "video": example.video,
        "true_labels": true_labels,
        "top": list(example.top),
        "right": right,
    }
