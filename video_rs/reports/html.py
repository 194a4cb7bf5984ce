"""The report page: one HTML file with its pictures inside, no script, no link to anywhere; good on screen and paper."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from video_rs.reports import plots
from video_rs.reports.confusion import checked, class_accuracies, most_confused
from video_rs.reports.page import data_uri, template
from video_rs.runtime.atomic import replace_text

MOST_BARS = 40  # classes listed one by one; of more, the worst and the best half of this
MOST_PAIRS = 20
MOST_FAILURES_OPEN = 20  # failed videos listed openly; more fold away
ACCURACIES = {"map", "map_all", "top1", "top1_all", "topk", "k"}
COUNTS = {"videos": "Videos", "failed": "Failed videos"}
CHARTS = (
    ("Loss", plots.loss_curve, "No loss was logged."),
    ("Accuracy", plots.accuracy_curve, "No accuracy was logged."),
    ("Learning rate", plots.learning_rate_curve, "No learning rate was logged."),
    ("Gradient norm", plots.gradient_norm_curve, "No gradient norm was logged."),
    ("Update ratio", plots.update_ratio_curve, "No update ratio was logged."),
    ("Throughput", plots.throughput_curve, "No throughput was logged."),
    ("Waiting for data", plots.data_wait_curve, "No waiting time was logged."),
)


class Example(NamedTuple):
    """A clip to show: ``frames`` uint8 [T,H,W,3] (array or CPU tensor), ``top`` the (label, score) pairs, best first.

    ``true_label`` joins several labels by ``;`` as list files do, and is ``None`` where the truth is not known.
    """

    frames: Any
    video: str
    true_label: str | None
    top: list[tuple[str, float]]


class Tile(NamedTuple):
    """One number of the summary, as text."""

    name: str
    value: str


class ClassBar(NamedTuple):
    """One class of a list: its ``share`` in [0, 1] is drawn as a bar, ``count`` is text."""

    index: int
    name: str
    share: float
    count: str


class Chart(NamedTuple):
    """A curve as a data URI, or ``None`` with the words that stand in its place."""

    title: str
    image: str | None
    empty: str


def write_report(
    path: str | Path,
    *,
    title: str,
    summary: Mapping[str, str | int | float | None],
    log: Sequence[dict[str, Any]],
    confusion: Any,
    precisions: Sequence[tuple[int, float, int]] | None = None,
    label_names: Sequence[str],
    examples: Sequence[Example],
    failures: Sequence[tuple[str, str]],
    config_text: str,
    notes: Sequence[str],
) -> None:
    """Write ``report.html`` in one atomic step; what is empty is said in words.

    Args:
        path: the file to write; its folder is made where it lacks.
        title: headline, such as the run's name.
        summary: the keys of ``metrics.json`` (``top1``, ``topk``, ``k``, ``videos``, ``failed``, ``top1_all``,
            accuracies in [0, 1]) get names and per cents; ``top1_all`` is shown where videos failed. ``seconds``
            becomes a duration. Other keys are shown as given, strings untouched, floats to four digits.
        log: records of :func:`video_rs.reports.run_log.read_log`, or ``[]`` of a test, whose page has no
            curves.
        confusion: int [K,K] counting videos, rows true, columns predicted; ``None`` before any validation,
            and where videos have several labels.
        precisions: (class, average precision in [0, 1], videos that have it) where videos have several labels: they
            stand in the place of the confusion matrix.
        label_names: the K names in label order.
        examples: clips to show, each about 0.3 MB of page.
        failures: (video, reason) of those that could not be read.
        config_text: the run's config as YAML.
        notes: sentences to show under the summary.

    Raises:
        InputError: the confusion matrix does not fit the names, or frames are not uint8 [T,H,W,3].
    """
    tiles, facts = _summary(summary)
    page = {
        "title": title,
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "tiles": tiles,
        "facts": facts,
        "notes": [*notes, *_not_finite_notes(log)],
        "charts": _charts(log),
        "validated": any(record.get("kind") == "validation" for record in log),
        "confusion": _confusion(confusion, label_names),
        "precisions": _precisions(precisions, label_names),
        "examples": [_example(example) for example in examples],
        "failures": list(failures),
        "failures_open": len(failures) <= MOST_FAILURES_OPEN,
        "config_text": config_text.strip(),
    }
    replace_text(Path(path), template("report.html.j2", percent=_percent).render(page))


def _summary(summary: Mapping[str, Any]) -> tuple[list[Tile], list[Tile]]:
    """The tiles (accuracies and counts) and the table below them (everything else)."""
    k = summary.get("k")
    failed = summary.get("failed") or 0
    named = {"map": "Mean average precision", "top1": "Top-1 accuracy"}
    if failed:
        named = {
            "map": "mAP, readable videos",
            "map_all": "mAP, failed are not found",
            "top1": "Top-1, readable videos",
            "top1_all": "Top-1, failed count as wrong",
        }
    if k != 1:
        named["topk"] = f"Top-{'k' if k is None else k} accuracy"
    tiles = [Tile(name, _percent(summary[key])) for key, name in named.items() if key in summary]
    tiles += [Tile(name, _text(summary[key])) for key, name in COUNTS.items() if key in summary]
    others = {key: value for key, value in summary.items() if key not in ACCURACIES | COUNTS.keys()}
    return tiles, [Tile(*_fact(key, value)) for key, value in others.items()]


def _fact(key: str, value: Any) -> tuple[str, str]:
    if key == "seconds" and isinstance(value, int | float):
        return "Time", _duration(value)
    return key[:1].upper() + key[1:].replace("_", " "), _text(value)


def _text(value: Any) -> str:
    if value is None:
        return "not known"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _percent(share: float | None) -> str:
    known = isinstance(share, int | float) and math.isfinite(share)
    return f"{100 * share:.2f} %" if known else "not known"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _not_finite_notes(log: Sequence[dict[str, Any]]) -> list[str]:
    steps = [
        record.get("step", "unknown")
        for record in log
        if isinstance(record.get("loss"), float) and not math.isfinite(record["loss"])
    ]
    if not steps:
        return []
    times = "once" if len(steps) == 1 else f"{len(steps)} times"
    return [f"The loss was not a finite number {times}, first at step {steps[0]}; the curves leave that out."]


def _charts(log: Sequence[dict[str, Any]]) -> list[Chart]:
    charts = [(title, draw(log), empty) for title, draw, empty in CHARTS]
    if all(figure is None for _, figure, _ in charts):
        return []
    return [Chart(title, _picture(figure), empty) for title, figure, empty in charts]


def _picture(figure: Figure | None) -> str | None:
    return None if figure is None else data_uri(plots.png(figure))


def _confusion(confusion: Any, names: Sequence[str]) -> dict[str, Any] | None:
    counts = None if confusion is None else checked(confusion, names)
    if counts is None or not counts.any():
        return None
    found = class_accuracies(counts, names)
    rows = [ClassBar(row.index, row.name, row.accuracy, f"{row.correct} / {row.total}") for row in found]
    return {
        **_matrix_picture(counts, names),
        "videos": int(counts.sum()),
        "rows": rows,
        "parts": _class_parts(rows),
        "absent": [name for name, total in zip(names, counts.sum(axis=1), strict=True) if total == 0],
        "pairs": most_confused(counts, names, MOST_PAIRS),
        "wrong_pairs": int(np.count_nonzero(counts) - np.count_nonzero(counts.diagonal())),
    }


def _precisions(rows: Sequence[tuple[int, float, int]] | None, names: Sequence[str]) -> dict[str, Any] | None:
    """The classes that have videos, worst first."""
    if rows is None:
        return None
    bars = [ClassBar(index, names[index], precision, str(videos)) for index, precision, videos in rows]
    bars.sort(key=lambda bar: bar.share)
    present = {bar.index for bar in bars}
    return {
        "rows": bars,
        "parts": _class_parts(bars),
        "absent": [name for i, name in enumerate(names) if i not in present],
    }


def _matrix_picture(counts: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    picture = plots.png(plots.confusion_matrix(counts, names))
    width = round(100 * plots.png_width(picture) / plots.DPI)
    # A narrow screen scrolls sideways rather than shrinking the names out of sight; without names it shrinks.
    narrowest = min(width, 480) if len(names) <= plots.MOST_NAMED else 0
    return {"image": data_uri(picture), "width": width, "narrowest": narrowest}


def _class_parts(rows: list[ClassBar]) -> list[tuple[str, list[ClassBar]]]:
    """(heading, rows) pairs: everything under no heading, or the worst and the best of many classes."""
    half = MOST_BARS // 2
    if len(rows) <= MOST_BARS:
        return [("", rows)]
    return [(f"Worst {half}", rows[:half]), (f"Best {half}", rows[-half:][::-1])]


def _example(example: Example) -> dict[str, Any]:
    truth = None if example.true_label is None else example.true_label.split(";")
    right = None if truth is None or not example.top else example.top[0][0] in truth
    return {
        "image": data_uri(plots.montage(example.frames)),
        "frames": min(len(example.frames), plots.STRIP_FRAMES),
        "video": example.video,
        "true_labels": truth,
        "top": list(example.top),
        "right": right,
    }
