"""What a check leaves: the list without the rows that have problems, those rows with their reasons, and check.json."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from video_rs.curation.doctor.data_set import DataSet, DataSetRow
from video_rs.curation.doctor.findings import Diagnosis
from video_rs.lists.rows import ListRow
from video_rs.lists.writing import columns_in_use, write_list
from video_rs.video.probing.probe import Probe


@dataclass(frozen=True)
class CheckResult:
    """Everything that a check knows.

    Attributes:
        data_set: the lists.
        probes: by path.
        diagnosis: what is wrong.
    """

    data_set: DataSet
    probes: Mapping[str, Probe]
    diagnosis: Diagnosis


def write_lists(folder: Path, result: CheckResult) -> None:
    """Write ``clean.csv`` for training, and ``quarantine.csv`` with the reasons.

    Paths are absolute, but those of rows that cannot be used are as listed.

    Raises:
        OSError: a file cannot be written.
    """
    # Both files have the same columns, also those that only rows of the other file fill in.
    rows = [_written_row(row, result.data_set) for row in result.data_set.rows]
    always = ["id"]
    if result.data_set.names:
        always.append("label")
    columns = columns_in_use(rows, always)

    problems = result.diagnosis.quarantined
    clean = []
    quarantined = []
    for index, row in enumerate(rows):
        if index in problems:
            quarantined.append(row)
        else:
            clean.append(row)
    write_list(folder / "clean.csv", clean, columns)

    # The problems are in the order of the rows, too.
    remarks = {
        "problem": [problem.kind for problem in problems.values()],
        "reason": [problem.detail for problem in problems.values()],
    }
    write_list(folder / "quarantine.csv", quarantined, columns, remarks)


def _written_row(row: DataSetRow, data_set: DataSet) -> ListRow:
    """Return a row as it is written; one that cannot be used as it is listed, with its id."""
    record = row.record
    if row.listed is not None:
        return row.listed._replace(split=row.split, id=record.id)

    label = ""
    if data_set.names:  # a data set without classes has no column for labels
        label = data_set.label_of(row, ";")
    return ListRow(
        line=0,
        path=record.path,
        label=label,
        split=row.split,
        start=_seconds_text(record.start),
        end=_seconds_text(record.end),
        id=record.id,
        group=record.group,
    )


def _seconds_text(seconds: float | None) -> str:
    """Return seconds as a list writes them, with all digits that make the same number again."""
    if seconds is None:
        return ""
    return repr(seconds)


def check_data(result: CheckResult) -> dict[str, Any]:
    """Return what ``check.json`` holds."""
    diagnosis = result.diagnosis
    findings = []
    for finding in diagnosis.findings:
        record = result.data_set.rows[finding.row].record
        findings.append({"path": record.path, "id": record.id, "kind": finding.kind, "detail": finding.detail})

    return {
        "clean": diagnosis.clean,
        "rows": len(result.data_set.rows),
        "quarantined": len(diagnosis.quarantined),
        "kinds": dict(diagnosis.kinds()),
        "classes": class_counts(result),
        "class_notes": list(diagnosis.class_notes),
        "rate_note": diagnosis.rate_note,
        "findings": findings,
        "files": {path: asdict(probe) for path, probe in result.probes.items()},
    }


def class_counts(result: CheckResult) -> dict[str, dict[str, int]]:
    """Return split -> class name -> number of rows."""
    names = result.data_set.names
    counts_by_name = {}
    for split, counts in result.diagnosis.counts.items():
        counts_by_name[split] = {names[label]: count for label, count in sorted(counts.items())}
    return counts_by_name
