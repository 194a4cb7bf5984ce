"""The one reader of lists: the rows of a list file or of a folder of class folders, as they are written.

Three forms are told apart by their content: a CSV with a header, ``path label`` lines, and a folder of class folders.
"""

import csv
import io
import os
import re
from operator import itemgetter

from video_rs.lists.class_folders import read_class_folders
from video_rs.lists.columns import HEADER_WORDS, find_columns, is_header
from video_rs.lists.label_lines import LABEL_LINE, read_label_lines
from video_rs.lists.rows import SPLIT_WORDS, Listing, ListRow, shortened
from video_rs.lists.text_files import lines_of, read_text
from video_rs.lists.unicode_names import UnicodeNames
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize
from video_rs.video.fetching import is_url, local_copy

HOW_TO = "give a CSV with the columns path,label or a folder of class folders (datasets/README.md)"


def read_listing(source: str, root: str, require_labels: bool) -> Listing:
    """Read the rows of a list, whichever form it has.

    Args:
        source: a list file or a folder of class folders, a path or a URL.
        root: what relative paths start from; empty: the list's own folder. A folder of class folders does not use it.
        require_labels: whether a list without labels is refused.

    Raises:
        InputError: the list cannot be read, is empty, or has a line that cannot be a row.
    """
    source = _on_this_machine(source)
    root = _on_this_machine(root)
    if os.path.isdir(source):
        return _read_folder(source)

    text = read_text(source, "list", HOW_TO)
    if not text.strip():
        raise InputError(f"list {source} is empty; {HOW_TO}")
    root = _absolute(root or os.path.dirname(source))

    # An official Kinetics CSV looks like a list, but names no files.
    header = [name.strip().lower() for name in _first_row(text, source)]
    if "youtube_id" in header:
        raise InputError(
            f"{source} is an official Kinetics CSV ({','.join(header)}), which names no files; match it with "
            "your videos: video-rs list kinetics VIDEOS --classes 400 --csv FILE (datasets/README.md)"
        )

    # A video may be called "path 3": a line with a label is a row.
    first_line = next(iter(lines_of(text.lstrip()))).rstrip("\n")
    if is_header(header) and not LABEL_LINE.fullmatch(first_line):
        return _read_csv(text, root, source, require_labels)
    _refuse_unknown_header(first_line, source)
    rows = read_label_lines(text, root, source, require_labels)
    return Listing(rows, root, has_splits=False)


def _first_row(text: str, source: str) -> list[str]:
    """Return the cells of the first row that is not blank, read as a CSV; nothing where all cells are blank.

    Raises:
        InputError: the row cannot be read, such as one behind a quote that is never closed.
    """
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    line = 1
    try:
        for cells in reader:
            if any(map(str.strip, cells)):
                return cells
            line = reader.line_num + 1
    except csv.Error as error:
        # The reader is at the line where it gave up, which may be far behind the quote.
        raise InputError(f"{source}, line {line}: {error}; correct the line") from error
    return []


def _on_this_machine(path: str) -> str:
    """Return the file that a ``file://`` URL names, a path in the disk's spelling, and any other URL as it is."""
    if path.startswith("file://"):
        path = local_copy(path)
    if is_url(path):
        return path
    return UnicodeNames().on_disk(path)


def _absolute(root: str) -> str:
    """Return a root as relative paths are joined to it."""
    if "://" in root:
        return root.rstrip("/")
    return os.path.abspath(root)


def _read_folder(source: str) -> Listing:
    """Read a folder of class folders."""
    found = read_class_folders(source)
    if not found.rows:
        notes = "".join(f"; {note}" for note in found.notes)
        raise InputError(
            f"folder {source} has no videos in class folders (CLASS/video.mp4, or train/CLASS/video.mp4 and "
            f"val/CLASS/video.mp4){notes}; {HOW_TO}"
        )
    return Listing(found.rows, _absolute(source), found.has_splits, tuple(found.notes))


def _refuse_unknown_header(line: str, source: str) -> None:
    """Raise InputError for a header with other names or separators, which would be taken for the first video."""
    line = line.strip()
    words = set(re.split(r"[,;\s]+", line.lower()))
    has_header_words = bool(words & HEADER_WORDS)
    looks_like_path = "." in line or "/" in line
    if has_header_words and not looks_like_path and not LABEL_LINE.fullmatch(line):
        raise InputError(
            f"{source}: the header {shortened(line)!r} has no column 'path'; name the columns path,label and, if there "
            "are, split,start,end,id,group, with commas between them"
        )


def _read_csv(text: str, root: str, source: str, require_labels: bool) -> Listing:
    """Read a CSV with a header."""
    reader = csv.reader(io.StringIO(text, newline=""), skipinitialspace=True)
    header = next(filter(any, reader))
    columns = find_columns(header, source, require_labels)
    take = itemgetter(*columns.places.values())

    rows = []
    try:
        for cells in reader:
            if len(cells) != len(header):
                is_blank_line = not any(cells)
                if is_blank_line:
                    continue
                _refuse_width(header, cells, f"{source}, line {reader.line_num}")

            # Absent columns have the place -1, and so take this last cell.
            cells.append("")
            taken = take(cells)
            row = ListRow(reader.line_num, *map(str.strip, taken))
            path = row.path
            if path != taken[0]:
                path = _with_blanks_of_the_file(taken[0], path, root)
            rows.append(row._replace(path=path, split=SPLIT_WORDS.get(row.split.lower(), row.split)))
    except csv.Error as error:
        raise InputError(f"{source}, line {reader.line_num}: {error}; correct the line") from error
    # A column in which nothing is filled in splits nothing.
    has_splits = any(row.split for row in rows)
    return Listing(rows, root, has_splits, columns.notes)


def _with_blanks_of_the_file(written: str, path: str, root: str) -> str:
    """Return ``written``, with blanks at its ends, where only that is a file's name; else ``path`` without them."""
    if "://" in root or os.path.exists(os.path.join(root, path)):
        return path
    if os.path.exists(os.path.join(root, written)):
        return written
    return path


def _refuse_width(header: list[str], cells: list[str], where: str) -> None:
    """Raise InputError for a row that has more or fewer cells than the header."""
    hint = "fill in what is missing"
    if len(cells) > len(header):
        hint = "put quotes around a path that has commas"
    raise InputError(
        f"{where}: {pluralize(len(cells), 'column')}, but the header has {len(header)} ({','.join(header)}); {hint}"
    )
