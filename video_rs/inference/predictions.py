"""predictions.jsonl: what testing found out about each video, one JSON object a line."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from video_rs.engine.metrics import VideoResult, top_labels
from video_rs.runtime.atomic import replace_text

# Seven digits tell more than float32 has near 1, and less than a tenth of its digits near 0.
DIGITS = 7


def joined_labels(labels: Sequence[int], names: Sequence[str]) -> str | None:
    """Return the names of classes as a list file has them, several with ``;`` between; None where there is none."""
    return ";".join(names[label] for label in labels) or None


def prediction_row(result: VideoResult, names: Sequence[str]) -> dict[str, Any]:
    """Return one line of predictions.jsonl.

    Args:
        result: of a video.
        names: of the classes, in their order.

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


def write_predictions(path: Path, results: Sequence[VideoResult], names: Sequence[str]) -> None:
    """Write predictions.jsonl in the order of the list, whole or not at all."""
    lines = [json.dumps(prediction_row(result, names), ensure_ascii=False) + "\n" for result in results]
    replace_text(path, "".join(lines))
