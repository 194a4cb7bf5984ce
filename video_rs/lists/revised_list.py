"""A list with some rows corrected and some left out, as a new file; the old one stays.

The rows that are left out are in a list of their own beside it. What was decided is read back from both: a column
``review``, which readers of lists ignore, says what was done to a row.
"""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from video_rs.lists.classes import Classes
from video_rs.lists.reading import read_listing
from video_rs.lists.records import VideoRecord, records_of_rows
from video_rs.lists.rows import Listing, ListRow
from video_rs.lists.text_files import read_text
from video_rs.lists.writing import columns_in_use, write_list
from video_rs.runtime.errors import InputError

REMARK = "review"
RIGHT = "right"
BROKEN = "broken"
_WAS = "was "


class Decision(NamedTuple):
    """What was decided about a video.

    Attributes:
        is_broken: it is left out of the new list; its labels count for nothing then.
        labels: class ids; none for a video of several classes that has none of them.
    """

    is_broken: bool = False
    labels: tuple[int, ...] = ()


class VideoKey(NamedTuple):
    """What tells the videos and segments of a list apart."""

    path: str
    start: float | None
    end: float | None

    @classmethod
    def of(cls, record: VideoRecord) -> "VideoKey":
        """Return the key of a record; bytes of its path that are no UTF-8 are written as in files of predictions."""
        return cls(record.path.encode("utf-8", "backslashreplace").decode(), record.start, record.end)


@dataclass
class RevisedList:
    """The old list, the decisions, and the file that is written anew with each of them.

    Attributes:
        path: of the new list.
        rows: of the old list.
        records: of each row.
        root: that relative paths of the old list start from.
        classes: what labels mean.
        decisions: row number -> what was decided.
    """

    path: Path
    rows: Sequence[ListRow]
    records: Sequence[VideoRecord]
    root: str
    classes: Classes
    decisions: dict[int, Decision] = field(default_factory=dict)

    @classmethod
    def open(cls, source: str, root: str, path: Path, label_names: Sequence[str]) -> "RevisedList":
        """Read the old list, and what is decided already in the new one, where there is one.

        Args:
            source: the old list, or a folder of class folders.
            root: of its relative paths; "": its own folder.
            path: of the new list.
            label_names: of the classes.

        Raises:
            InputError: a list cannot be read, or ``path`` is another file that must not be replaced.
        """
        listing = read_listing(source, root, require_labels=False)
        records = _without_labels(listing, source)
        classes = Classes.of(listing.rows, listing.rows, label_names, None, source)
        revised = cls(path, listing.rows, records, listing.root, classes)
        revised._read_decisions(source)

        return revised

    @property
    def broken_path(self) -> Path:
        """The list of the rows that are left out."""
        return self.path.with_name(f"{self.path.stem}_broken.csv")

    def rows_of(self, records: Iterable[VideoRecord]) -> list[list[int]]:
        """Return the numbers of all rows of each video or segment."""
        rows: dict[VideoKey, list[int]] = {}
        for number, record in enumerate(self.records):
            rows.setdefault(VideoKey.of(record), []).append(number)

        return [rows.get(VideoKey.of(record), []) for record in records]

    def decide(self, rows: Sequence[int], decision: Decision | None) -> None:
        """Decide about rows, or take back what was decided, and write the new list.

        Raises:
            OSError: the list cannot be written; the decision does not count then.
        """
        before = dict(self.decisions)
        for row in rows:
            if decision is None:
                self.decisions.pop(row, None)
            else:
                self.decisions[row] = decision

        try:
            self.write()
        except OSError:
            self.decisions = before
            raise

    def write(self) -> None:
        """Write both lists, each of them whole or not at all."""
        kept: list[tuple[ListRow, str]] = []
        broken: list[tuple[ListRow, str]] = []

        for number, row in enumerate(self.rows):
            decision = self.decisions.get(number)
            row = self._placed(number)
            if decision is None:
                kept.append((row, ""))
            elif decision.is_broken:
                broken.append((row, BROKEN))
            elif set(decision.labels) == set(self.ids_of(row)):
                kept.append((row, RIGHT))
            else:
                remark = f"was {row.label or 'without label'}"
                kept.append((row._replace(label=self._written(decision.labels)), remark))

        # An empty list of broken videos replaces one with some, and is made for nothing else.
        if broken or self.broken_path.exists():
            self._write(self.broken_path, broken)

        self._write(self.path, kept)

    def _placed(self, number: int) -> ListRow:
        """Return a row of the old list with a path that leads to the same file from the new list's folder."""
        row = self.rows[number]
        if os.path.realpath(self.root) == os.path.realpath(self.path.parent):
            return row

        record = self.records[number]
        return row._replace(path=record.path, id=record.id)

    def _write(self, path: Path, rows: Sequence[tuple[ListRow, str]]) -> None:
        """Write rows with a remark beside each."""
        written = [row for row, _ in rows]
        columns = columns_in_use([*self.rows, *written], always=("label",))
        write_list(path, written, columns, {REMARK: [remark for _, remark in rows]})

    def ids_of(self, row: ListRow) -> tuple[int, ...]:
        """Return the classes of a row; none where its label is no known class."""
        try:
            return self.classes.ids(row, required=False)
        except InputError:
            return ()

    def _written(self, labels: Sequence[int]) -> str:
        """Return class ids as the old list writes them: as names, or as numbers."""
        are_numbers = self.classes.ids_by_name is None and any(row.label for row in self.rows)
        if are_numbers:
            return ";".join(map(str, labels))

        return ";".join(self.classes.names[label] for label in labels)

    def _read_decisions(self, source: str) -> None:
        """Take the decisions of an earlier review from its two lists, after a look at what is there."""
        _require_file(self.path, source)
        _require_file(self.broken_path, source)

        for file in (self.path, self.broken_path):
            if file.exists():
                self._read_decisions_of(file)

    def _read_decisions_of(self, file: Path) -> None:
        """Take the decisions from one list."""
        text = read_text(str(file), "list", "give another --out")
        table = csv.DictReader(io.StringIO(text))
        remarks = [row.get(REMARK) or "" for row in table]

        if REMARK not in (table.fieldnames or ()):
            raise InputError(f"--out: {file} is there already, and no review has written it; give another file")
        if not remarks:
            return

        listing = read_listing(str(file), "", require_labels=False)
        numbers = self.rows_of(_without_labels(listing, str(file)))

        for row, remark, same in zip(listing.rows, remarks, numbers, strict=True):
            decision = Decision(labels=self.ids_of(row))
            if remark == BROKEN:
                decision = Decision(is_broken=True)
            if remark:
                self.decisions.update(dict.fromkeys(same, decision))


def _require_file(path: Path, source: str) -> None:
    """Raise InputError where a new list would take the place of the old one, or of a folder."""
    if path.is_dir() or os.path.realpath(path) == os.path.realpath(source):
        raise InputError(f"--out: {path} is the old list or a folder, which stays; give another file")


def _without_labels(listing: Listing, source: str) -> Sequence[VideoRecord]:
    """Return the records of a list's rows without their labels: a label that cannot be read is there to be corrected.

    Raises:
        InputError: a path or a time cannot be used.
    """
    rows = [row._replace(label="") for row in listing.rows]
    return records_of_rows(listing._replace(rows=rows), source).records
