"""Predictions as CSV and as JSON lines, for programs that read no Parquet."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from video_rs.engine.metrics import VideoResult, top_labels
from video_rs.inference.predictions.labels import joined_labels
from video_rs.inference.predictions.predictions import Predictions
from video_rs.runtime.atomic import replace_text, write_csv

# Seven digits tell more than float32 has near 1, and less than a tenth of its digits near 0.
DIGITS = 7


def write_jsonl(predictions: Predictions, path: Path) -> None:
    """Write a JSON object a video in the order of the list, whole or not at all."""
    lines = []
    for result in predictions.results:
        lines.append(json.dumps(json_row(result, predictions.label_names), ensure_ascii=False) + "\n")
    replace_text(path, "".join(lines))


def json_row(result: VideoResult, names: tuple[str, ...]) -> dict[str, Any]:
    """Return one line of predictions.jsonl.

    Returns:
        ``video``, ``id`` and ``label``; ``top``, the five best classes; ``probabilities`` of all classes, rounded to
        seven digits; ``error``, why the video could not be read, or None.
    """
    row = {"video": result.video, "id": result.id, "label": joined_labels(result.labels, names)}
    if result.error is not None:
        return {**row, "top": [], "probabilities": None, "error": result.error}

    probabilities = [round(value, DIGITS) for value in result.probabilities.tolist()]
    top = [{"label": label, "score": score} for label, score in top_labels(result.probabilities, names)]
    return {**row, "top": top, "probabilities": probabilities, "error": None}


def write_table(predictions: Predictions, path: Path) -> None:
    """Write a CSV: a row a video, and a column ``p(CLASS)`` for each class, whole or not at all."""
    head = ("video", "id", "group", "label", "predicted", "score", "error")
    classes = [f"p({name})" for name in predictions.label_names]
    write_csv(path, (*head, *classes), _csv_rows(predictions))


def _csv_rows(predictions: Predictions) -> Iterator[list]:
    """Give the rows of the CSV."""
    names = predictions.label_names
    for record, result in zip(predictions.records, predictions.results, strict=True):
        known = [result.video, result.id, record.group, joined_labels(result.labels, names) or ""]
        if result.error is not None:
            yield [*known, "", "", result.error, *[""] * len(names)]
            continue
        values = [f"{value:.{DIGITS}g}" for value in result.probabilities.tolist()]
        place = int(result.probabilities.argmax())
        yield [*known, names[place], values[place], "", *values]


TEXT_FORMATS: dict[str, Callable[[Predictions, Path], None]] = {"csv": write_table, "jsonl": write_jsonl}
"""Suffix -> what writes it."""
