"""Lists of ``path label`` lines, as SlowFast and MMAction2 write them."""

import os
import re
from collections.abc import Callable, Iterable

from video_rs.lists.rows import ListRow, shortened
from video_rs.lists.text_files import lines_of
from video_rs.lists.video_search import is_video
from video_rs.runtime.errors import InputError

LABEL_LINE = re.compile(r"(.*\S)[\s,]+([+-]?\d{1,18}(?:;[+-]?\d{1,18})*)\s*", re.ASCII)
"""A line whose last word is one class id, or several with ``;`` between them."""

_FRAME_COUNT = re.compile(r"(.*\S)\s+\d+", re.ASCII)  # a path and its number of frames
_SAMPLES = 20  # rows that are looked up on the disk, of a list of any length


def read_label_lines(text: str, root: str, source: str, require_labels: bool) -> list[ListRow]:
    """Read a list of lines with a path and integer labels, or with a path alone.

    Args:
        text: of the list.
        root: that relative paths start from.
        source: the list, for messages.
        require_labels: whether a line without a label is refused.

    Raises:
        InputError: a line has no label although labels are required, or looks like the row of a CSV.
    """
    rows = []
    for number, line in enumerate(lines_of(text), 1):
        match = LABEL_LINE.fullmatch(line)
        if match:
            path = match[1].rstrip(", \t").strip(' \t"')
            rows.append(ListRow(number, path, match[2]))
        elif line.strip():
            rows.append(_row_without_label(number, line.strip(), source, require_labels))

    return _without_frame_counts(rows, root)


def _row_without_label(number: int, line: str, source: str, require_labels: bool) -> ListRow:
    """Return the row of a line that is a path alone."""
    if require_labels:
        raise InputError(
            f"{source}, line {number}: got {shortened(line)!r}, expected a path and integer labels (a.mp4 3); "
            "for names give the list a header with the columns path,label"
        )

    # A line like a.mp4,walk is the row of a CSV without a header.
    path, _, label = line.rpartition(",")
    if label and is_video(path.strip(' "')):
        raise InputError(
            f"{source}, line {number}: got {shortened(line)!r}, which looks like a path and a label; give the list a "
            "header with the columns path,label"
        )
    return ListRow(number, line)


def _without_frame_counts(rows: list[ListRow], root: str) -> list[ListRow]:
    """Return the rows of lines ``FOLDER FRAMES LABEL``, as MMAction2 and TSN list them, without the number of frames.

    Rows of other lists are returned as they are.
    """
    matches = [_FRAME_COUNT.fullmatch(row.path) for row in rows]
    if not rows or not all(matches):
        return rows

    # Some rows stand for all: a look at each folder of a large list takes minutes on a network disk.
    step = max(1, len(rows) // _SAMPLES)
    written = [row.path for row in rows[::step]]
    if _any_exists(root, written):
        return rows
    folders = [match[1] for match in matches[::step]]
    if not _any_exists(root, folders, os.path.isdir):
        return rows

    shorter = []
    for row, match in zip(rows, matches, strict=True):
        shorter.append(row._replace(path=match[1]))
    return shorter


def _any_exists(root: str, paths: Iterable[str], exists: Callable[[str], bool] = os.path.exists) -> bool:
    """Return whether one of the relative paths is there."""
    return any(exists(os.path.join(root, path)) for path in paths)
