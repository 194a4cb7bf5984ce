"""List files: what to read, how long, and which classes. No video is opened here.

Three forms are told apart by their content: a CSV with a header, ``path label`` lines, and a folder of class folders.
All of them give the same :class:`RecordList`.
"""

import csv
import difflib
import gc
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from iopath.common.file_io import g_pathmgr

from video_rs.errors import InputError

# fmt: off
VIDEO_EXTENSIONS = frozenset((
    ".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm",
    ".wmv",
))
# fmt: on
SPLITS = ("train", "val", "test")
_COLUMNS = ("path", "label", "split", "start", "end", "id")
_HOW_TO = "give a CSV with the columns path,label or a folder of class folders (datasets/README.md)"
_MAX_UNDECLARED_CLASSES = 100_000  # a mistyped id must not allocate names without end
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_LINE = re.compile(r"(.*\S)[\s,]+([+-]?\d{1,18}(?:;[+-]?\d{1,18})*)\s*", re.ASCII)  # the last token is the label


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

    def __len__(self) -> int:
        return len(self.records)


class _Row(NamedTuple):
    """One row as written; ``line`` is its line number, 0 in a folder."""

    line: int
    path: str
    label: str = ""
    split: str = ""
    start: str = ""
    end: str = ""
    id: str = ""


class _Listing(NamedTuple):
    rows: list[_Row]
    root: str  # absolute: what relative paths are relative to
    has_splits: bool


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
    listing = _read_listing(source, root, require_labels)
    rows = _rows_of_split(listing, split, source)
    classes = _Classes.of(listing.rows, rows, label_names, num_classes, source)
    cache: dict[str, tuple[int, ...]] = {}
    records = []
    for row in rows:
        if (labels := cache.get(row.label)) is None:
            labels = cache[row.label] = classes.ids(row, require_labels)
        path = _resolve(row, listing.root, source)
        start, end = _segment(row, source)
        records.append(VideoRecord(path, labels, start, end, row.id or _default_id(row)))
    return RecordList(tuple(records), classes.names, source)


def read_label_map(path: str) -> tuple[str, ...]:
    """Class names, one a line: the first is class 0. Raises InputError for an empty or repeated line."""
    text = _read_text(os.fspath(path), "label map", "give a text file with one class name a line")
    first_line: dict[str, int] = {}
    for number, name in enumerate(map(str.strip, io.StringIO(text)), 1):
        if not name:
            raise InputError(f"{path}, line {number}: empty; write one class name a line, with no gaps")
        if name in first_line:
            raise InputError(f"{path}, line {number}: {name!r} stands on line {first_line[name]} too; remove one")
        first_line[name] = number
    if not first_line:
        raise InputError(f"label map {path} is empty; write one class name a line")
    return tuple(first_line)


# Reading rows, by form


def _read_listing(source: str, root: str, require_labels: bool) -> _Listing:
    if g_pathmgr.isdir(source):
        return _read_folder(source)
    text = _read_text(source, "list", _HOW_TO)
    if not text.strip():
        raise InputError(f"list {source} is empty; {_HOW_TO}")
    root = _absolute(root or os.path.dirname(source))
    header = [name.strip().lower() for name in next(csv.reader(io.StringIO(text.lstrip())))]
    if "youtube_id" in header:
        raise InputError(
            f"{source} is an official Kinetics CSV ({','.join(header)}), which names no files; prepare a list with "
            "the columns path,label from it (datasets/README.md)"
        )
    if "path" in header or "file" in header:
        return _read_csv(text, root, source, require_labels)
    return _Listing(list(_lines(text, source, require_labels)), root, has_splits=False)


def _read_text(path: str, what: str, how_to: str) -> str:
    if not g_pathmgr.isfile(path):
        raise InputError(f"{what} {path} does not exist; {how_to}")
    try:
        with g_pathmgr.open(path, "r", encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read ({error.strerror}); {how_to}") from error


def _read_csv(text: str, root: str, source: str, require_labels: bool) -> _Listing:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    header = next(filter(any, reader))
    columns = _csv_columns(header, source, require_labels)
    take = itemgetter(*columns.values())
    rows = []
    try:
        for row in reader:
            if len(row) != len(header):
                if not any(row):
                    continue  # a blank line
                _refuse_columns(header, row, f"{source}, line {reader.line_num}")
            row.append("")  # what absent columns point at
            rows.append(_Row(reader.line_num, *map(str.strip, take(row))))
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}: {error}; correct the line") from error
    return _Listing(rows, root, columns["split"] >= 0)


def _csv_columns(header: list[str], source: str, require_labels: bool) -> dict[str, int]:
    """Where each known column stands; -1 for an absent one."""
    names = [name.strip().lower() for name in header]
    repeated = [name for name in (*_COLUMNS, "file") if names.count(name) > 1]
    if repeated:
        raise InputError(f"{source}: the header has the column {repeated[0]!r} twice; rename or remove one")
    columns = {name: names.index(name) if name in names else -1 for name in _COLUMNS}
    if columns["path"] < 0:
        columns["path"] = names.index("file")
    if columns["label"] < 0 and require_labels:
        raise InputError(f"{source}: no column 'label' in the header {','.join(header)}; add one")
    return columns


def _refuse_columns(header: list[str], row: list[str], where: str) -> None:
    hint = "put quotes around a path that has commas" if len(row) > len(header) else "fill in what is missing"
    raise InputError(f"{where}: {len(row)} columns, but the header has {len(header)} ({','.join(header)}); {hint}")


def _lines(text: str, source: str, require_labels: bool) -> Iterator[_Row]:
    for number, line in enumerate(io.StringIO(text), 1):
        if match := _LINE.fullmatch(line):
            yield _Row(number, match[1].rstrip(", \t").strip(' \t"'), match[2])
        elif not line.strip():
            continue
        elif require_labels:
            raise InputError(
                f"{source}, line {number}: got {_short(line.strip())!r}, expected a path and integer labels (a.mp4 3); "
                "for names give the list a header with the columns path,label"
            )
        else:
            yield _Row(number, line.strip())


def _read_folder(source: str) -> _Listing:
    splits = [name for name in SPLITS if _folders(os.path.join(source, name))]
    rows = []
    for split in splits or [""]:
        for label in _folders(os.path.join(source, split)):
            inside = os.path.join(split, label)
            files = sorted(g_pathmgr.ls(os.path.join(source, inside)))
            rows += [_Row(0, os.path.join(inside, name), label, split) for name in files if _is_video(name)]
    if not rows:
        raise InputError(
            f"folder {source} has no videos in class folders (CLASS/video.mp4, or train/CLASS/video.mp4 and "
            f"val/CLASS/video.mp4; known endings: {' '.join(sorted(VIDEO_EXTENSIONS))}); {_HOW_TO}"
        )
    return _Listing(rows, _absolute(source), bool(splits))


def _folders(path: str) -> list[str]:
    if not g_pathmgr.isdir(path):
        return []
    names = sorted(name for name in g_pathmgr.ls(path) if not name.startswith("."))
    return [name for name in names if g_pathmgr.isdir(os.path.join(path, name))]


def _is_video(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in VIDEO_EXTENSIONS


def _rows_of_split(listing: _Listing, split: str | None, source: str) -> list[_Row]:
    chosen = listing.rows
    if split is not None and listing.has_splits:
        chosen = [row for row in listing.rows if row.split == split]
    if not listing.rows:
        raise InputError(f"list {source} has a header but no rows; {_HOW_TO}")
    if not chosen:
        found = ", ".join(sorted({repr(row.split) for row in listing.rows}))
        raise InputError(f"{source} has no rows of the split {split!r}, only of {found}; correct its split column")
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
        all_rows: list[_Row],
        rows: list[_Row],
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

    def ids(self, row: _Row, required: bool) -> tuple[int, ...]:
        """Class ids of a row, without repetitions, in the order written."""
        tokens = _tokens(row.label)
        if not row.label and not required:
            return ()
        if not tokens or "" in tokens:
            self._refuse(row, row.label, "a label, or several joined by ;", "fill it in")
        find = self._id if self.by_name is None else self._id_of_name
        return tuple(dict.fromkeys(find(token, row) for token in tokens))

    def _id(self, token: str, row: _Row) -> int:
        index = int(token)
        if not 0 <= index < len(self.names):
            allowed = f"a class id from 0 to {max(0, len(self.names) - 1)}"
            self._refuse(row, token, allowed, "correct it or the number of classes")
        return index

    def _id_of_name(self, token: str, row: _Row) -> int:
        if token not in self.by_name:
            near = difflib.get_close_matches(token, self.names, n=1, cutoff=0.0)
            allowed = f"one of the {len(self.names)} known names" + (f", nearest {near[0]!r}" if near else "")
            self._refuse(row, token, allowed, "correct it, or add it to the label map or the train rows")
        return self.by_name[token]

    def _refuse(self, row: _Row, got: str, allowed: str, then: str) -> None:
        raise InputError(f"{_where(row, self.source)}: label {_short(got)!r}, expected {allowed}; {then}")


def _renumbers(names: tuple[str, ...], integers: set[str]) -> bool:
    """Whether some integers are names of other classes than their own number, and so cannot be class ids."""
    return any(name in integers and int(name) != index for index, name in enumerate(names))


def _tokens(label: str) -> list[str]:
    return [token.strip() for token in label.split(";")] if label else []


def _names_of(all_rows: list[_Row], rows: list[_Row]) -> tuple[str, ...]:
    """Sorted names of the train rows; of the chosen rows where there are none, as in a list without splits."""
    labels = {row.label for row in all_rows if row.split == "train"} or {row.label for row in rows}
    return tuple(sorted({token for label in labels for token in _tokens(label) if token}))


def _digits(integers: set[str], num_classes: int | None) -> tuple[str, ...]:
    highest = max(map(int, integers), default=-1)
    count = min(highest + 1, _MAX_UNDECLARED_CLASSES) if num_classes is None else num_classes
    return tuple(map(str, range(count)))


def _refuse_mixture(rows: list[_Row], integers: set[str], tokens: set[str], source: str) -> None:
    """One misspelt id would silently turn every id of a list into a name."""
    names = tokens - integers - {""}
    if integers and names:
        row = next(row for row in rows if not names.isdisjoint(_tokens(row.label)))
        raise InputError(
            f"{_where(row, source)}: label {_short(row.label)!r} is not an integer, but others are (such as "
            f"{min(integers)}); use only class ids, only names, or give a label map"
        )


# One row's path and times


def _resolve(row: _Row, root: str, source: str) -> str:
    path = row.path
    if not path:
        raise InputError(f"{_where(row, source)}: the path is empty; fill it in")
    if path[0] == "/" or "://" in path:
        return path
    if ".." in path and os.path.normpath(path).split(os.sep)[0] == "..":
        raise InputError(
            f"{_where(row, source)}: path {_short(path)!r} leaves its root {root}; write it as an absolute "
            "path, or choose a root that holds all videos"
        )
    return f"{root}/{path}"


def _absolute(root: str) -> str:
    return root.rstrip("/") if "://" in root else os.path.abspath(root)


def _segment(row: _Row, source: str) -> tuple[float | None, float | None]:
    if not row.start and not row.end:
        return None, None
    start, end = (_seconds(row, name, source) for name in ("start", "end"))
    if end is not None and end <= (start or 0.0):
        raise InputError(
            f"{_where(row, source)}: end {row.end} is not after start {row.start or 0}; give both in seconds"
        )
    return start, end


def _seconds(row: _Row, name: str, source: str) -> float | None:
    text = getattr(row, name)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{_where(row, source)}: {name} {_short(text)!r}, expected seconds from 0; correct it")
    return value


def _default_id(row: _Row) -> str:
    return f"{row.path}:{row.start or 0}-{row.end or 'end'}" if row.start or row.end else row.path


def _where(row: _Row, source: str) -> str:
    return f"{source}, line {row.line}" if row.line else f"{source}, {row.path}"


def _short(text: str, limit: int = 80) -> str:
    """Long text, as a row that lost its line ends gives, would bury the message."""
    return text if len(text) <= limit else text[:limit] + "…"
