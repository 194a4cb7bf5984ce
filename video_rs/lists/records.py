"""Records: what to read of which video, and its classes. No video is opened here.

:mod:`video_rs.lists.reading` reads the rows of a list; whichever form it has, the rows become one :class:`RecordList`.
"""

import gc
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from video_rs.lists.classes import Classes
from video_rs.lists.reading import HOW_TO, read_listing
from video_rs.lists.rows import Listing, ListRow, shortened
from video_rs.lists.video_paths import PathResolver
from video_rs.runtime.errors import InputError


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One video, or the segment ``[start, end)`` of it.

    Attributes:
        path: absolute, or a URL that iopath opens.
        labels: class ids; several for a video of several classes, none where labels were not required.
        start: of the segment, in seconds; None: the segment begins with the video.
        end: of the segment, in seconds; None: the segment ends with the video.
        id: for reports and predictions: the list's id column, else the path as listed and the segment.
        group: the list's group column: videos of one group are no independent ones.
    """

    path: str
    labels: tuple[int, ...]
    start: float | None
    end: float | None
    id: str
    group: str = ""

    @property
    def group_or_file(self) -> str:
        """The group, or without one the file, by a name that no group has: its segments are no independent ones."""
        return self.group or f"\n{self.path}"


@dataclass(frozen=True)
class RecordList:
    """The records of one list or split, in the list's order, and what their class ids mean.

    Attributes:
        records: one for each row.
        label_names: ``label_names[i]`` names class i; integer labels are named by their digits.
        source: the list, for messages.
        notes: sentences on how columns, paths and labels have been read.
        has_splits: whether the list has splits; a list without gives all its rows for any split.
    """

    records: tuple[VideoRecord, ...]
    label_names: tuple[str, ...]
    source: str
    notes: tuple[str, ...] = ()
    has_splits: bool = False

    def __len__(self) -> int:
        return len(self.records)


class RowFault(NamedTuple):
    """A row whose label, path or times cannot be used, and the reason."""

    row: ListRow
    reason: str


class SplitRecords(NamedTuple):
    """The records of one split, and the rows of the split that cannot be used."""

    found: RecordList
    faults: list[RowFault]


class _LabelRules(NamedTuple):
    """How labels are read: the names and the number of classes, where they are given, and whether rows need a label."""

    names: Sequence[str] | None = None
    num_classes: int | None = None
    required: bool = False


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Pause Python's collector of cycles: it would walk the growing lists again and again, for 40 % of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_collector_paused()
def read_records(
    source: str,
    *,
    split: str | None = None,
    root: str = "",
    label_names: Sequence[str] | None = None,
    num_classes: int | None = None,
    require_labels: bool = True,
) -> RecordList:
    """Read a list file or a folder of class folders.

    Labels are names or class ids, several joined by ``;``. Labels that are all integers are ids, unless some of them
    are names in ``label_names``. Names get their ids from ``label_names``, else from sorting the names of the train
    rows (of all rows, where there are no train rows): pass a train list's ``label_names`` to read its validation list.

    Args:
        source: the list.
        split: keeps the rows of that split, where the list has splits.
        root: what a list's relative paths start from; empty: the list's own folder. A folder of class folders does not
            use it.
        label_names: names of the classes, in the order of their ids.
        num_classes: number of classes, which bounds the ids.
        require_labels: False also takes rows, or a list, without labels.

    Raises:
        InputError: the list cannot be read or a row cannot be used; the message has the line number.
    """
    source = os.fspath(source)
    listing = read_listing(source, root, require_labels)
    labels = _LabelRules(label_names, num_classes, require_labels)
    return _to_records(listing, source, split, labels)


@_collector_paused()
def records_of_rows(listing: Listing, source: str) -> RecordList:
    """Return the records of all rows of a list that has been read; labels may be missing.

    Raises:
        InputError: a row cannot be used.
    """
    return _to_records(listing, source, None, _LabelRules())


@_collector_paused()
def records_by_split(
    listing: Listing, source: str, label_names: Sequence[str] | None = None
) -> dict[str, SplitRecords]:
    """Return the records of every split of a list by its name; a list without splits has one split, called "".

    Labels may be missing. A row that cannot be used is returned as a fault of its split.

    Args:
        listing: the list's rows.
        source: the list, for messages.
        label_names: names of the classes, in the order of their ids; None: the list names them.

    Raises:
        InputError: the list as a whole cannot be used.
    """
    # None stands for all rows.
    splits: list[str | None] = [None]
    if listing.has_splits:
        splits = sorted({row.split for row in listing.rows})

    found = {}
    for split in splits:
        faults: list[RowFault] = []
        records = _to_records(listing, source, split, _LabelRules(label_names), faults)
        found[split or ""] = SplitRecords(records, faults)
    return found


def class_names_of_rows(rows: Sequence[ListRow], source: str) -> tuple[str, ...]:
    """Return the class names that the rows of a list, or of several, give by themselves; see :func:`read_records`."""
    return Classes.of(rows, rows, None, None, source).names


def _to_records(
    listing: Listing, source: str, split: str | None, labels: _LabelRules, faults: list[RowFault] | None = None
) -> RecordList:
    """Return the records of a split. Where ``faults`` are collected, a row with a fault does not refuse the list."""
    rows = _rows_of_split(listing, split, source)
    classes = Classes.of(listing.rows, rows, labels.names, labels.num_classes, source)
    paths = PathResolver(listing.root, source)

    # Most rows have a label that an earlier row had.
    ids_of_label: dict[str, tuple[int, ...]] = {}
    records = []
    for row in rows:
        try:
            class_ids = ids_of_label.get(row.label)
            if class_ids is None:
                class_ids = classes.ids(row, labels.required)
                ids_of_label[row.label] = class_ids
            path = paths.resolve(row)
            start, end = _segment(row, source)
        except InputError as error:
            if faults is None:
                raise
            faults.append(RowFault(row, str(error)))
            continue

        records.append(VideoRecord(path, class_ids, start, end, row.id or _default_id(row), row.group))

    notes = [*listing.notes, *paths.notes()]
    order_note = classes.order_note(rows)
    if order_note:
        notes.append(order_note)
    return RecordList(tuple(records), classes.names, source, tuple(notes), listing.has_splits)


def _rows_of_split(listing: Listing, split: str | None, source: str) -> list[ListRow]:
    """Return the rows of a split; all rows where no split is asked for or the list has none."""
    if not listing.rows:
        raise InputError(f"list {source} has a header but no rows; {HOW_TO}")
    if split is None or not listing.has_splits:
        return listing.rows

    chosen = [row for row in listing.rows if row.split == split]
    if chosen:
        return chosen

    splits = sorted({row.split for row in listing.rows})
    hint = ""
    if split == "val" and "test" in splits:
        hint = ", or test on them: video-rs test --split test"
    raise InputError(
        f"{source} has no rows of the split {split!r}, only of {', '.join(map(repr, splits))}; correct its split "
        f"column (train, val, test){hint}"
    )


def _segment(row: ListRow, source: str) -> tuple[float | None, float | None]:
    """Return start and end of a row's segment in seconds, None where the row does not say."""
    if not row.start and not row.end:
        return None, None

    start = _seconds(row, "start", row.start, source)
    end = _seconds(row, "end", row.end, source)
    if end is not None and end <= (start or 0.0):
        raise InputError(
            f"{row.where(source)}: end {row.end} is not after start {row.start or 0}; give both in seconds"
        )
    return start, end


def _seconds(row: ListRow, column: str, text: str, source: str) -> float | None:
    """Return the seconds that a cell states, None where it is empty."""
    if not text:
        return None

    # float() reads "nan" and "inf" too, which are no times.
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0:
        raise InputError(
            f"{row.where(source)}: {column} {shortened(text)!r}, expected seconds from 0; correct it, "
            "or rename the column if it is no segment"
        )
    return value


def _default_id(row: ListRow) -> str:
    """Return the id of a row that states none: two segments of one video differ."""
    if row.start or row.end:
        return f"{row.path}:{row.start or 0}-{row.end or 'end'}"
    return row.path
