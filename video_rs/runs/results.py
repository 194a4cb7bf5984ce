"""What testing and the end of training write: metrics.json, predictions.jsonl and report.html."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from video_rs.runtime.atomic import replace_text
from video_rs.data.dataset import segment
from video_rs.video import open_video
from video_rs.data.preprocessing import ClipSpec
from video_rs.lists.records import VideoRecord
from video_rs.engine.metrics import VideoResult, class_precisions, confusion_matrix, top_labels
from video_rs.runtime.errors import InputError
from video_rs.reports import Example, write_report

EXAMPLES = 8
EXAMPLE_FRAMES = 6


def joined(labels: Sequence[int], names: Sequence[str]) -> str | None:
    """Names of the labels as a list file has them, several with ``;`` between; None where there is none."""
    return ";".join(names[label] for label in labels) or None


def prediction_row(result: VideoResult, names: Sequence[str]) -> dict[str, Any]:
    """One line of predictions.jsonl: the video, its label, the five best classes, all probabilities, or its error."""
    row = {"video": result.video, "id": result.id, "label": joined(result.labels, names)}
    if result.error is not None:
        return {**row, "top": [], "probabilities": None, "error": result.error}
    probabilities = [round(p, 7) for p in result.probabilities.tolist()]
    top = [{"label": label, "score": score} for label, score in top_labels(result.probabilities, names)]
    return {**row, "top": top, "probabilities": probabilities, "error": None}


def write_predictions(path: Path, results: Sequence[VideoResult], names: Sequence[str]) -> None:
    """One JSON object a line for each video, in the list's order."""
    rows = (json.dumps(prediction_row(result, names), ensure_ascii=False) + "\n" for result in results)
    replace_text(path, "".join(rows))


def pick_examples(
    records: Sequence[VideoRecord], results: Sequence[VideoResult], names: Sequence[str], clip: ClipSpec, decoder: str
) -> list[Example]:
    """Clips for the report: wrong ones first in turn with right ones, spread over the list."""
    read = [r for r in results if r.error is None]
    wrong = [r for r in read if int(r.probabilities.argmax()) not in r.labels]
    right = [r for r in read if int(r.probabilities.argmax()) in r.labels]
    half = EXAMPLES // 2
    from_wrong = _spread(wrong, max(half, EXAMPLES - len(right)))
    chosen = from_wrong + _spread(right, EXAMPLES - len(from_wrong))
    examples = []
    for result in chosen:
        frames = _example_frames(records[result.index], clip, decoder)
        top = top_labels(result.probabilities, names, 3)
        examples.append(Example(frames, result.video, joined(result.labels, names), top))
    return examples


def _spread(items: list, count: int) -> list:
    """At most ``count`` items at even distances."""
    return [items[i * len(items) // count] for i in range(count)] if len(items) > count else items


def _example_frames(record: VideoRecord, clip: ClipSpec, decoder: str):
    """A few frames over the centre clip, uint8 ``[T, H, W, 3]``."""
    with open_video(record.path, decoder) as reader:
        indices = clip.uniform(segment(reader, record), 1)[0]
        picked = indices[:: max(1, len(indices) // EXAMPLE_FRAMES)][:EXAMPLE_FRAMES]
        return reader.frames(picked)


def write_outcome_report(
    path: Path,
    *,
    title: str,
    summary: dict[str, Any],
    log: list[dict[str, Any]],
    records: Sequence[VideoRecord],
    results: Sequence[VideoResult],
    names: Sequence[str],
    clip: ClipSpec,
    decoder: str,
    multi_label: bool,
    failures: list[tuple[str, str]],
    config_text: str,
    notes: list[str],
) -> None:
    """The HTML report over whatever there is: without results it holds the curves alone."""
    examples: list[Example] = []
    precisions = class_precisions(results, len(names)) if results and multi_label else None
    if precisions is not None:
        notes = [
            *notes,
            f"mAP is the mean over the {len(precisions)} of {len(names)} classes that have videos here; a video counts "
            "for top-1 where the class of the highest score is one of its own",
        ]
    try:
        examples = pick_examples(records, results, names, clip, decoder)
    except InputError as error:
        notes = [*notes, f"sample clips are left out: {error}"]
    write_report(
        path,
        title=title,
        summary=summary,
        log=log,
        confusion=confusion_matrix(results, len(names)).numpy() if results and not multi_label else None,
        precisions=precisions,
        label_names=list(names),
        examples=examples,
        failures=[*failures, *((r.video, r.error) for r in results if r.error is not None)],
        config_text=config_text,
        notes=notes,
    )
