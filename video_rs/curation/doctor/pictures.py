"""Pictures for the doctor's page: stills of a few rows of each kind of finding, and of a few rows without."""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from video_rs.curation.doctor.findings import NOTES, PROBLEMS
from video_rs.curation.doctor.output import CheckResult
from video_rs.curation.file_workers import FileWorkers
from video_rs.lists.records import VideoRecord
from video_rs.reports.check_page import Picture
from video_rs.runtime.workers import Lost
from video_rs.video.probing.cache import stills_with_cache

PER_KIND = 6
_WITHOUT_FINDING = 24
_NO_STILLS = np.empty((0, 1, 1, 3), np.uint8)
_Key = tuple[str, float | None, float | None]  # path, start and end of a record


class _Choice(NamedTuple):
    """A row to show: the kind of its finding, "" for none; its index in the data set; and what was found."""

    kind: str
    row: int
    detail: str


def take_pictures(result: CheckResult, cache: str, workers: FileWorkers) -> dict[str, list[Picture]]:
    """Return kind of finding -> pictures of a few rows; those of rows without a finding are under "".

    Args:
        result: of the check.
        cache: SQLite file of probes, which knows the frames of each file.
        workers: that decode; each file is opened once for all its rows.
    """
    rows = result.data_set.rows
    choices = _choose(result)

    usable = [rows[choice.row].record for choice in choices if not rows[choice.row].fault]
    stills = _stills_of(usable, cache, workers)

    pictures: dict[str, list[Picture]] = {}
    for choice in choices:
        row = rows[choice.row]
        label = result.data_set.label_of(row, "; ")
        frames = stills.get(_key(row.record), _NO_STILLS)
        picture = Picture(row.record.id, label, row.split, choice.detail, frames)
        pictures.setdefault(choice.kind, []).append(picture)
    return pictures


def _choose(result: CheckResult) -> list[_Choice]:
    """Return the first rows of each kind of finding, and random rows without a finding."""
    findings = result.diagnosis.findings
    choices = []
    for kind in (*PROBLEMS, *NOTES):
        of_kind = [finding for finding in findings if finding.kind == kind]
        for finding in of_kind[:PER_KIND]:
            choices.append(_Choice(kind, finding.row, finding.detail))

    # The seed is fixed: a second look at the page shows the same rows.
    with_finding = {finding.row for finding in findings}
    without = [index for index in range(len(result.data_set.rows)) if index not in with_finding]
    count = min(len(without), _WITHOUT_FINDING)
    for index in sorted(random.Random(0).sample(without, count)):
        choices.append(_Choice("", index, ""))
    return choices


def _stills_of(records: Sequence[VideoRecord], cache: str, workers: FileWorkers) -> dict[_Key, np.ndarray]:
    """Return the stills of each record, uint8 ``[0..3, h, w, 3]``; nothing of a file that is lost."""
    segments: dict[str, dict[tuple, None]] = {}
    for record in records:
        segments.setdefault(record.path, {})[record.start, record.end] = None
    tasks = [(path, list(parts), cache) for path, parts in segments.items()]

    # A task takes as long as its file has segments.
    most_segments = max(map(len, segments.values()), default=1)
    workers = replace(workers, time_limit=workers.time_limit * most_segments)

    stills = {}
    with workers.results(stills_with_cache, tasks, ahead=max(8, workers.processes)) as results:
        for (path, parts, _), frames in zip(tasks, results, strict=True):
            if isinstance(frames, Lost):
                continue
            for (start, end), of_segment in zip(parts, frames, strict=True):
                stills[path, start, end] = of_segment
    return stills


def _key(record: VideoRecord) -> _Key:
    """Return what tells the stills of a record."""
    return record.path, record.start, record.end
