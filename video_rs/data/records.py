"""List files: what to read, how long, and which classes. No video is opened here.

The forms of a list are read in listing.py; all of them give the same :class:`RecordList`.
"""

import gc
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from video_rs.data.listing import HOW_TO, Listing, Row, read_listing, read_text, short
from video_rs.errors import InputError
from video_rs.wording import nearest

_MAX_UNDECLARED_CLASSES = 100_000  # a mistyped id must not allocate names without end
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)


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
    notes: tuple[str, ...] = ()  # lines on what a user should know of how the list was read

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
def records_of(listing: Listing, source: str) -> tuple[VideoRecord, ...]:
    """The records of all rows of a list that has been read; labels may be missing. InputError as read_records."""
    return _read(listing, source, None, None, None, require_labels=False).records


@_collector_paused()
def splits_of(
    listing: Listing, source: str, label_names: Sequence[str] | None = None
) -> dict[str, tuple[tuple[VideoRecord, ...], list[Fault]]]:
    """Every split of a list by its name, and what cannot be used of it; a list without splits has one, called "".

    Errors as for :func:`read_records`, but that a row's own fault refuses that row alone, and labels may be missing.
    """
    splits = sorted({row.split for row in listing.rows}) if listing.has_splits else [None]
    found = {}
    for split in splits:
        faults: list[Fault] = []
        found[split or ""] = _read(listing, source, split, label_names, None, False, faults).records, faults
    return found


def names_in(listing: Listing, source: str) -> tuple[str, ...]:
    """The class names that a list gives by itself, see :func:`read_records`."""
    return _Classes.of(listing.rows, listing.rows, None, None, source).names


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
    classes = _Classes.of(listing.rows, rows, label_names, num_classes, source)
    cache: dict[str, tuple[int, ...]] = {}
    records = []
    for row in rows:
        try:
            if (labels := cache.get(row.label)) is None:
                labels = cache[row.label] = classes.ids(row, require_labels)
            path = _resolve(row, listing.root, source)
            start, end = _segment(row, source)
        except InputError as error:
            if faults is None:
                raise
            faults.append(Fault(row, str(error)))
            continue
        records.append(VideoRecord(path, labels, start, end, row.id or _default_id(row)))
    return RecordList(tuple(records), classes.names, source, listing.notes)


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
    for number, name in enumerate(map(str.strip, io.StringIO(text.rstrip())), 1):
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
        found = ", ".join(sorted({repr(row.split) for row in listing.rows}))
        raise InputError(
            f"{source} has no rows of the split {split!r}, only of {found}; correct its split column (train, val, test)"
        )
    return chosen


# What labels mean


@dataclass(frozen=True)
class _Classes:
    """How label text becomes class ids."""

    names: tuple[str, ...]
    by_name: dict[str, int] | None  # None: labels are class ids
    source: str

    @classmethod
    def of(
        cls,
        all_rows: list[Row],
        rows: list[Row],
        names: Sequence[str] | None,
        num_classes: int | None,
        source: str,
    ) -> "_Classes":
        tokens = {token for label in {row.label for row in all_rows} for token in _tokens(label)}
        integers = {token for token in tokens if _INTEGER.fullmatch(token)}
        if names is not None:
            names = tuple(names)
            by_name = integers != tokens or _renumbers(names, integers)
        else:
            _refuse_mixture(all_rows, integers, tokens, source)
            by_name = bool(tokens - integers)
            names = _names_of(all_rows, rows) if by_name else _digits(integers, num_classes)
        if num_classes is not None and len(names) > num_classes:
            raise InputError(
                f"{source}: {len(names)} class names for {num_classes} classes; give the number of classes as "
                f"{len(names)}, or a label map with {num_classes} names"
            )
        ids = {name: index for index, name in enumerate(names)} if by_name else None
        return cls(names, ids, source)

    def ids(self, row: Row, required: bool) -> tuple[int, ...]:
        """Class ids of a row, without repetitions, in the order written."""
        tokens = _tokens(row.label)
        if not row.label and not required:
            return ()
        if not tokens or "" in tokens:
            self._refuse(row, row.label, "a label, or several with ; between them", "fill it in")
        find = self._id if self.by_name is None else self._id_of_name
        return tuple(dict.fromkeys(find(token, row) for token in tokens))

    def _id(self, token: str, row: Row) -> int:
        index = int(token)
        if not 0 <= index < len(self.names):
            allowed = f"a class id from 0 to {max(0, len(self.names) - 1)}"
            self._refuse(row, token, allowed, "correct it or the number of classes")
        return index

    def _id_of_name(self, token: str, row: Row) -> int:
        if token not in self.by_name:
            near = nearest(token, self.names)
            allowed = f"one of the {len(self.names)} known names" + (f", nearest {near!r}" if near else "")
            self._refuse(row, token, allowed, "correct it, or add it to the label map or the train rows")
        return self.by_name[token]

    def _refuse(self, row: Row, got: str, allowed: str, then: str) -> None:
        raise InputError(f"{_where(row, self.source)}: label {short(got)!r}, expected {allowed}; {then}")


def _renumbers(names: tuple[str, ...], integers: set[str]) -> bool:
    """Whether some integers are names of other classes than their own number, and so cannot be class ids."""
    return any(name in integers and int(name) != index for index, name in enumerate(names))


def _tokens(label: str) -> list[str]:
    return [token.strip() for token in label.split(";")] if label else []


def _names_of(all_rows: list[Row], rows: list[Row]) -> tuple[str, ...]:
    """Sorted names of the train rows; of the chosen rows where there are none, as in a list without splits."""
    labels = {row.label for row in all_rows if row.split == "train"} or {row.label for row in rows}
    return tuple(sorted({token for label in labels for token in _tokens(label) if token}))


def _digits(integers: set[str], num_classes: int | None) -> tuple[str, ...]:
    highest = max(map(int, integers), default=-1)
    count = min(highest + 1, _MAX_UNDECLARED_CLASSES) if num_classes is None else num_classes
    return tuple(map(str, range(count)))


def _refuse_mixture(rows: list[Row], integers: set[str], tokens: set[str], source: str) -> None:
    """One misspelt id would silently turn every id of a list into a name."""
    names = tokens - integers - {""}
    if integers and names:
        row = next(row for row in rows if not names.isdisjoint(_tokens(row.label)))
        raise InputError(
            f"{_where(row, source)}: label {short(row.label)!r} is not an integer, but others are (such as "
            f"{min(integers)}); use only class ids, only names, or give a label map"
        )


# One row's path and times


def _resolve(row: Row, root: str, source: str) -> str:
    path = row.path
    if not path:
        raise InputError(f"{_where(row, source)}: the path is empty; fill it in")
    if path[0] == "/" or "://" in path:
        return path
    if ".." in path and os.path.normpath(path).split(os.sep)[0] == "..":
        raise InputError(
            f"{_where(row, source)}: path {short(path)!r} leaves its root {root}; write it as an absolute "
            "path, or choose a root that holds all videos"
        )
    return f"{root}/{path}"


def _segment(row: Row, source: str) -> tuple[float | None, float | None]:
    if not row.start and not row.end:
        return None, None
    start, end = (_seconds(row, name, source) for name in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise InputError(
            f"{_where(row, source)}: end {row.end} is not after start {row.start or 0}; give both in seconds"
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
        raise InputError(f"{_where(row, source)}: {name} {short(text)!r}, expected seconds from 0; correct it")
    return value


def _default_id(row: Row) -> str:
    return f"{row.path}:{row.start or 0}-{row.end or 'end'}" if row.start or row.end else row.path


def _where(row: Row, source: str) -> str:
    return f"{source}, line {row.line}" if row.line else f"{source}, {row.path}"
