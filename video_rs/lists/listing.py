"""The rows of a list file, or of a folder of class folders, as written; their meaning is given them in records.py.

Three forms are told apart by their content: a CSV with a header, ``path label`` lines, and a folder of class folders.
"""

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from video_rs.lists.columns import HEADER_WORDS, find_columns, is_header
from video_rs.lists.spelling import Spellings
from video_rs.lists.trees import is_video, notes_on, search
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import counted
from video_rs.video.fetching import is_url, local_copy

HOW_TO = "give a CSV with the columns path,label or a folder of class folders (datasets/README.md)"
SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What lists call their splits, in small letters, and what they are called here."""
_LINE = re.compile(r"(.*\S)[\s,]+([+-]?\d{1,18}(?:;[+-]?\d{1,18})*)\s*", re.ASCII)  # the last token is the label

_COUNTED = re.compile(r"(.*\S)\s+\d+", re.ASCII)  # a path and its number of frames


class Row(NamedTuple):
    """One row as written; ``line`` is its line number, 0 in a folder."""

    line: int
    path: str
    label: str = ""
    split: str = ""
    start: str = ""
    end: str = ""
    id: str = ""

    @property
    def is_of_folder(self) -> bool:
        """Whether it is of a folder of class folders."""
        return not self.line

    def where(self, source: str) -> str:
        """Return where it stands, for messages."""
        return f"{source}, {self.path}" if self.is_of_folder else f"{source}, line {self.line}"


class Listing(NamedTuple):
    rows: list[Row]
    root: str  # absolute: what relative paths are relative to
    has_splits: bool
    notes: tuple[str, ...] = ()  # sentences on how the list is read


def read_listing(source: str, root: str, require_labels: bool) -> Listing:
    """The rows of ``source``, whichever form it has; ``root`` as in :func:`video_rs.lists.records.read_records`."""
    source, root = (local_copy(path) if path.startswith("file://") else path for path in (source, root))
    source, root = (path if is_url(path) else Spellings().on_disk(path) for path in (source, root))
    if os.path.isdir(source):
        return _read_folder(source)
    text = read_text(source, "list", HOW_TO)
    if not text.strip():
        raise InputError(f"list {source} is empty; {HOW_TO}")
    root = _absolute(root or os.path.dirname(source))
    first_line = text.lstrip().splitlines()[0]
    header = [name.strip().lower() for name in next(csv.reader(io.StringIO(text.lstrip())))]
    if "youtube_id" in header:
        raise InputError(
            f"{source} is an official Kinetics CSV ({','.join(header)}), which names no files; match it with "
            "your videos: python datasets/kinetics.py VIDEOS --classes 400 --csv FILE (datasets/README.md)"
        )
    if is_header(header) and not _LINE.fullmatch(first_line):
        return _read_csv(text, root, source, require_labels)
    _refuse_other_header(first_line, source)
    rows = list(_lines(text, source, require_labels))
    return Listing(_without_frame_counts(rows, root), root, has_splits=False)


def _refuse_other_header(line: str, source: str) -> None:
    """A header with other names or other separators would be taken for the first video."""
    words = set(re.split(r"[,;\s]+", line.strip().lower()))
    if words & HEADER_WORDS and not _LINE.fullmatch(line.strip()) and not set("./") & set(line):
        raise InputError(
            f"{source}: the header {short(line)!r} has no column 'path'; name the columns path,label and, if there "
            "are, split,start,end,id, with commas between them"
        )


def read_text(path: str, what: str, how_to: str) -> str:
    """A UTF-8 file, or one that a URL names; ``what`` it is and ``how_to`` give one are words for the refusals."""
    path = local_copy(path, anew=True) if is_url(path) else Spellings().on_disk(path)
    if not os.path.isfile(path):
        raise InputError(f"{what} {path} does not exist; {how_to}")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read ({error.strerror}); {how_to}") from error


def _read_csv(text: str, root: str, source: str, require_labels: bool) -> Listing:
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    header = next(filter(any, reader))
    columns = find_columns(header, source, require_labels)
    take = itemgetter(*columns.places.values())
    rows = []
    try:
        for row in reader:
            if len(row) != len(header):
                if not any(row):
                    continue  # a blank line
                _refuse_columns(header, row, f"{source}, line {reader.line_num}")
            row.append("")  # what absent columns point at
            cells = take(row)
            path, label, split, *others = map(str.strip, cells)
            if path != cells[0]:
                path = _with_its_blanks(cells[0], path, root)
            rows.append(Row(reader.line_num, path, label, SPLIT_WORDS.get(split.lower(), split), *others))
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}: {error}; correct the line") from error
    return Listing(rows, root, columns.places["split"] >= 0, columns.notes)


def _with_its_blanks(written: str, path: str, root: str) -> str:
    """The path as ``written`` where that is a file's name, and ``path``, without the blanks at its ends, is none's."""
    if "://" in root or os.path.exists(os.path.join(root, path)):
        return path
    return written if os.path.exists(os.path.join(root, written)) else path


def _refuse_columns(header: list[str], row: list[str], where: str) -> None:
    hint = "put quotes around a path that has commas" if len(row) > len(header) else "fill in what is missing"
    raise InputError(
        f"{where}: {counted(len(row), 'column')}, but the header has {len(header)} ({','.join(header)}); {hint}"
    )


def _lines(text: str, source: str, require_labels: bool) -> Iterator[Row]:
    for number, line in enumerate(io.StringIO(text), 1):
        if match := _LINE.fullmatch(line):
            yield Row(number, match[1].rstrip(", \t").strip(' \t"'), match[2])
        elif not line.strip():
            continue
        elif require_labels:
            raise InputError(
                f"{source}, line {number}: got {short(line.strip())!r}, expected a path and integer labels (a.mp4 3); "
                "for names give the list a header with the columns path,label"
            )
        else:
            yield Row(number, _without_label(line.strip(), f"{source}, line {number}"))


def _without_label(path: str, where: str) -> str:
    """A line that is to be a path alone. InputError for ``a.mp4,walk``, which is a CSV's row."""
    before, _, label = path.rpartition(",")
    if label and is_video(before.strip(' "')):
        raise InputError(
            f"{where}: got {short(path)!r}, which looks like a path and a label; give the list a header with the "
            "columns path,label"
        )
    return path


def _without_frame_counts(rows: list[Row], root: str) -> list[Row]:
    """Rows of lines ``FOLDER FRAMES LABEL``, as MMAction2 and TSN list folders of frames; others stay as they are.

    Some rows tell for all: a look at each folder of a large list takes minutes on a network disk.
    """
    counted = [_COUNTED.fullmatch(row.path) for row in rows]
    if not rows or not all(counted):
        return rows
    some = range(0, len(rows), max(1, len(rows) // 20))
    if any(os.path.exists(os.path.join(root, rows[i].path)) for i in some):
        return rows
    if not any(os.path.isdir(os.path.join(root, counted[i][1])) for i in some):
        return rows
    return [row._replace(path=match[1]) for row, match in zip(rows, counted, strict=True)]


def _read_folder(source: str) -> Listing:
    """``CLASS/**/VIDEO``, or ``train/CLASS/**/VIDEO``."""
    tree = search(source)
    parts = [path.split("/") for path in tree.videos]
    splits = split_folders(source, [path[:-1] for path in parts])
    rows = []
    for top, split in sorted(splits.items(), key=lambda named: SPLITS.index(named[1])) or [("", "")]:
        inside = [path for path in parts if len(path) > 2 and path[0] == top] if top else parts
        labelled = sorted((path[1 if top else 0], path) for path in inside if len(path) > 1)
        rows += [Row(0, "/".join(path), label, split) for label, path in labelled]
    notes = notes_on(tree, class_depth=1 if splits else 0)
    if not rows:
        found = "".join(f"; {note}" for note in notes)
        raise InputError(
            f"folder {source} has no videos in class folders (CLASS/video.mp4, or train/CLASS/video.mp4 and "
            f"val/CLASS/video.mp4){found}; {HOW_TO}"
        )
    return Listing(rows, _absolute(source), bool(splits), tuple(notes))


def split_folders(source: str, folders: Sequence[list[str]]) -> dict[str, str]:
    """Which folders at the top of ``source`` are splits, name -> split; ``folders`` are the videos', each in its parts.

    Those that are called like one and have class folders in them, if they are of two splits at least or if there are no
    others: a class may be called train, too.

    Raises:
        InputError: one that may be either.
    """
    tops = {parts[0] for parts in folders if parts}
    named = {top: SPLIT_WORDS[top.lower()] for top in sorted(tops) if top.lower() in SPLIT_WORDS}
    found = {top: split for top, split in named.items() if any(parts[:1] == [top] and parts[1:] for parts in folders)}
    others = sorted(tops - set(named))
    if len(set(found.values())) > 1 or not others:
        return found
    for top in found:
        classes = {parts[1] if parts[1:] else "" for parts in folders if parts[:1] == [top]}
        if len(classes) > 1 and "" not in classes:
            raise InputError(
                f"{source}: {top} with the folders {', '.join(sorted(classes)[:3])} may be a split or a class, for "
                f"{others[0]} with videos lies beside it; move {others[0]} away, or call the class {top} otherwise"
            )
    return {}


def _absolute(root: str) -> str:
    return root.rstrip("/") if "://" in root else os.path.abspath(root)


def short(text: str, limit: int = 80) -> str:
    """Long text, as a row that lost its line ends gives, would bury the message."""
    return text if len(text) <= limit else text[:limit] + "…"
