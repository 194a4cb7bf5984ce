"""What a teacher says of the videos of a shard: the one function that labels, wherever it runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from video_rs.data.teacher import Teacher
from video_rs.engine.evaluation import evaluate
from video_rs.inference.teachers import ClassMatch
from video_rs.lists.records import VideoRecord


@dataclass(frozen=True)
class Labeller:
    """A teacher, and what of its answers is kept.

    Attributes:
        teacher: views -> probabilities.
        classes: the student's among the teacher's.
        top: how many classes of a video are kept, the most probable ones; 0: all.
        batch: views per forward pass.
    """

    teacher: Teacher
    classes: ClassMatch
    top: int = 0
    batch: int = 8


class LabelRow(NamedTuple):
    """What is known of a video.

    Attributes:
        path: as it was opened.
        id: of the list's row.
        start, end: of the segment in seconds; None: the video's own.
        classes: numbers of the classes that are kept, the most probable first where only some are.
        probabilities: of these.
        rest: the probability of the student's other classes together.
        other: that of the classes that only the teacher has.
        views: how many views the probabilities are a mean of.
        error: why the video could not be read, or None.
    """

    path: str
    id: str
    start: float | None
    end: float | None
    classes: Sequence[int] = ()
    probabilities: Sequence[float] = ()
    rest: float = 0.0
    other: float = 0.0
    views: int = 0
    error: str | None = None


def label_shard(labeller: Labeller, records: Sequence[VideoRecord], videos: Iterable[Any]) -> list[LabelRow]:
    """Return a row for each record.

    Args:
        labeller: the teacher, and what is kept.
        records: of the shard.
        videos: of each record its :class:`video_rs.data.dataset.VideoViews`.
    """
    results = evaluate(labeller.teacher.probabilities, videos, labeller.batch)
    rows = []
    for record, result in zip(records, results, strict=True):
        row = LabelRow(record.path, record.id, record.start, record.end, error=result.error)
        if result.error is None:
            row = row._replace(views=result.views, **_kept(labeller, result.probabilities.numpy()))
        rows.append(row)
    return rows


def _kept(labeller: Labeller, probabilities: np.ndarray) -> dict[str, Any]:
    """Return what is kept of a teacher's probabilities float32 ``[L]``."""
    student = labeller.classes.of_student(probabilities)
    classes = np.arange(len(student))
    if labeller.top:
        # Of equal ones the first.
        classes = np.argsort(-student, kind="stable")[: labeller.top]

    kept = student[classes]
    rest = float(student.sum(dtype=np.float64) - kept.sum(dtype=np.float64))
    other = float(probabilities.sum(dtype=np.float64) - student.sum(dtype=np.float64))
    return {
        "classes": classes.tolist(),
        "probabilities": kept.tolist(),
        "rest": max(0.0, rest),
        "other": max(0.0, other),
    }
