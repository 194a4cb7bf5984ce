"""Findings on rows that show the same video: the same file, or files of equal content."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from video_rs.curation.doctor.data_set import DataSetRow
from video_rs.curation.doctor.findings import Finding
from video_rs.lists.rows import SPLITS
from video_rs.video.probing.probe import Probe


def copy_findings(rows: Sequence[DataSetRow], probes: Mapping[str, Probe]) -> Iterator[Finding]:
    """Give the findings on rows whose files have equal content.

    Args:
        rows: of the data set.
        probes: by path.
    """
    rows_of_content: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        if row.fault:
            continue
        probe = probes[row.record.path]
        if probe.kind == "ok":
            content = probe.fingerprint or row.record.path
            rows_of_content[content].append(index)

    for indices in rows_of_content.values():
        for index in indices:
            others = [rows[other] for other in indices if other != index]
            yield from _finding(index, rows[index], others)


def _finding(index: int, row: DataSetRow, others: Sequence[DataSetRow]) -> Iterator[Finding]:
    """Give the gravest finding on a row, if there is one.

    Args:
        index: of the row in the data set.
        row: the row.
        others: the other rows of the same content.
    """
    same_segment = [other for other in others if _segment(other) == _segment(row)]
    for other in same_segment:
        if _contradict(other, row):
            yield Finding("conflict", index, f"as {other.record.path}")
            return

    # Two segments of one video that overlap share frames, and that is enough for a leak.
    for other in others:
        if _leaks(row.split, other.split) and _overlap(other, row):
            yield Finding("leak", index, f"as {other.record.path} in {other.split}")
            return

    for other in same_segment:
        if other.split == row.split:
            yield Finding("duplicate", index, f"as {other.record.path}")
            return


def _contradict(one: DataSetRow, other: DataSetRow) -> bool:
    """Return whether two rows have other labels, in whichever order; a row without labels says nothing."""
    labels = set(one.record.labels)
    other_labels = set(other.record.labels)
    return bool(labels and other_labels) and labels != other_labels


def _leaks(split: str, other: str) -> bool:
    """Return whether a video of ``split`` must not be in ``other``, which comes later: train, val, test."""
    return split in SPLITS and other in SPLITS[SPLITS.index(split) + 1 :]


def _segment(row: DataSetRow) -> tuple[float, float]:
    """Return start and end of a row's segment in seconds."""
    start = row.record.start or 0.0
    if row.record.end is None:
        return start, math.inf
    return start, row.record.end


def _overlap(one: DataSetRow, other: DataSetRow) -> bool:
    """Return whether the segments of two rows have a moment in common."""
    start, end = _segment(one)
    other_start, other_end = _segment(other)
    return start < other_end and other_start < end
