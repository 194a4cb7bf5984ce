"""List files: what to read, how long, and which classes. No video is opened here.

The forms of a list are read in listing.py; all of them give the same :class:`RecordList`.
"""

import gc
import io
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from video_rs.lists.classes import Classes
from video_rs.lists.listed_paths import PathFinder
from video_rs.lists.listing import HOW_TO, Listing, Row, read_listing, read_text, short
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import canonical


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One video, or the segment ``[start, end)`` seconds of it."""

    path: str  # resolved: absolute, or a URL that iopath opens
    labels: tuple[int, ...]  # class ids; several for multi-label, none where labels were not asked for
    start: float | None  # seconds; None: from the beginning
    end: float | None  # seconds; None: to the end
    id: str  # for reports and predictions: the list's id column, else the path as listed and the segment


@dataclass(frozen=True)
class RecordList:
    """The rows of one list or split, in the list's order, and what their class ids mean."""

    records: tuple[VideoRecord, ...]
    label_names: tuple[str, ...]  # label_names[i] names class i; integer labels are named by their digits
    source: str
    notes: tuple[str, ...] = ()  # sentences on how columns, paths and labels have been read
    has_splits: bool = False  # whether the list has; one without gives all its rows for any split

    def __len__(self) -> int:
        return len(self.records)


class Fault(NamedTuple):
    """A row that cannot be used, as written, and why: its label, its path or its times."""

    row: Row
    reason: str


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Nothing read here is cyclic; walking the growing lists again and again would take 40 % of the time."""
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

    ``split`` keeps the rows of that split where the list has splits. ``root`` is what a list's relative paths are
    relative to (default: the list's own folder; a folder of class folders does not use it). Labels are names or class
    ids, several joined by ``;``. Labels that are all integers are ids, unless some are names in ``label_names``.
    Names get their ids from ``label_names``, else from sorting the names of the train rows (of all rows, where there
    are none): pass a train list's ``label_names`` to read its validation list. ``num_classes`` bounds the ids.
    ``require_labels=False`` also takes rows, or a list, without labels. Raises InputError, with the line number.
    """
    source = os.fspath(source)
    listing = read_listing(source, root, require_labels)
    return _read(listing, source, split, label_names, num_classes, require_labels)


@_collector_paused()
def records_of(listing: Listing, source: str) -> RecordList:
    """The records of all rows of a list that has been read; labels may be missing. InputError as read_records."""
    return _read(listing, source, None, None, None, require_labels=False)


@_collector_paused()
def splits_of(
    listing: Listing, source: str, label_names: Sequence[str] | None = None
) -> dict[str, tuple[RecordList, list[Fault]]]:
    """Every split of a list by its name, and what cannot be used of it; a list without splits has one, called "".

    Errors as for :func:`read_records`, but that a row's own fault refuses that row alone, and labels may be missing.
    """
    splits = sorted({row.split for row in listing.rows}) if listing.has_splits else [None]
    found = {}
    for split in splits:
        faults: list[Fault] = []
        found[split or ""] = _read(listing, source, split, label_names, None, False, faults), faults
    return found


def names_in(rows: Sequence[Row], source: str) -> tuple[str, ...]:
    """The class names that the rows of a list, or of several, give by themselves; see :func:`read_records`."""
    return Classes.of(rows, rows, None, None, source).names


def _read(
    listing: Listing,
    source: str,
    split: str | None,
    label_names: Sequence[str] | None,
    num_classes: int | None,
    require_labels: bool,
    faults: list[Fault] | None = None,
) -> RecordList:
    """Where ``faults`` are collected, a row with one is left out instead of refusing the list."""
    rows = _rows_of_split(listing, split, source)
    classes = Classes.of(listing.rows, rows, label_names, num_classes, source)
    paths = PathFinder(listing.root, source)
    cache: dict[str, tuple[int, ...]] = {}
    records = []
    for row in rows:
        try:
            if (labels := cache.get(row.label)) is None:
                labels = cache[row.label] = classes.ids(row, require_labels)
            path = paths.find(row)
            start, end = _segment(row, source)
        except InputError as error:
            if faults is None:
                raise
            faults.append(Fault(row, str(error)))
            continue
        records.append(VideoRecord(path, labels, start, end, row.id or _default_id(row)))
    notes = filter(None, (*listing.notes, *paths.notes(), classes.order_note(rows)))
    return RecordList(tuple(records), classes.names, source, tuple(notes), listing.has_splits)


def read_label_map(path: str) -> tuple[str, ...]:
    """Return class names, one a line: the first is class 0. Blank lines at the end are nothing.

    Raises:
        InputError: an empty line between two names, or a name that stands there twice.
    """
    text = read_text(
        os.fspath(path), "label map", "give a text file with one class name a line, or none (DATA.LABEL_MAP '')"
    )
    first_line: dict[str, int] = {}
    # Editors end a file with blank lines; between two names one would be a class without a name.
    for number, name in enumerate(map(canonical, io.StringIO(text.rstrip())), 1):
        if not name:
            raise InputError(f"{path}, line {number}: empty; write one class name a line, with no gaps")
        if name in first_line:
            raise InputError(f"{path}, line {number}: {name!r} stands on line {first_line[name]} too; remove one")
        first_line[name] = number
    if not first_line:
        raise InputError(f"label map {path} is empty; write one class name a line")
    return tuple(first_line)


def _rows_of_split(listing: Listing, split: str | None, source: str) -> list[Row]:
    chosen = listing.rows
    if split is not None and listing.has_splits:
        chosen = [row for row in listing.rows if row.split == split]
    if not listing.rows:
        raise InputError(f"list {source} has a header but no rows; {HOW_TO}")
    if not chosen:
        splits = sorted({row.split for row in listing.rows})
        test_rows = split == "val" and "test" in splits
        raise InputError(
            f"{source} has no rows of the split {split!r}, only of {', '.join(map(repr, splits))}; correct its split "
            "column (train, val, test)" + (", or test on them: tools/test_net.py --split test" if test_rows else "")
        )
    return chosen


# One row's times


def _segment(row: Row, source: str) -> tuple[float | None, float | None]:
    if not row.start and not row.end:
        return None, None
    start, end = (_seconds(row, name, source) for name in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise InputError(
            f"{row.where(source)}: end {row.end} is not after start {row.start or 0}; give both in seconds"
        )
    return start, end


def _seconds(row: Row, name: str, source: str) -> float | None:
    text = getattr(row, name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise InputError(
            f"{row.where(source)}: {name} {short(text)!r}, expected seconds from 0; correct it, "
            "or rename the column if it is no segment"
        )
    return value


def _default_id(row: Row) -> str:
    return f"{row.path}:{row.start or 0}-{row.end or 'end'}" if row.start or row.end else row.path
