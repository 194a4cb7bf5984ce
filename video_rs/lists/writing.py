"""The one writer of list files; the format is described in datasets/README.md."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from video_rs.lists.rows import COLUMNS, ListRow
from video_rs.lists.text_files import write_text
from video_rs.runtime.atomic import csv_text


def columns_in_use(rows: Iterable[ListRow], always: Collection[str]) -> list[str]:
    """Return the columns of a list file: the path, those in ``always``, and those that some row fills in.

    Args:
        rows: that the file will hold.
        always: names of columns that are written even where no row fills them in.
    """
    used = {"path", *always}
    for row in rows:
        for column in COLUMNS:
            if getattr(row, column):
                used.add(column)

    # A set has no order, and a list's columns do.
    return [column for column in COLUMNS if column in used]


def write_list(
    path: Path,
    rows: Iterable[ListRow],
    columns: Sequence[str],
    remarks: Mapping[str, Sequence[str]] | None = None,
) -> bool:
    """Write a list file, whole, unless the file holds these rows already.

    Args:
        path: the CSV.
        rows: in the order in which they are written.
        columns: names of the columns to write, as :func:`columns_in_use` returns them.
        remarks: further columns for people, which readers of lists ignore: name -> one text for each row.

    Returns:
        Whether the file was written.

    Raises:
        OSError: the file cannot be written.
    """
    remarks = remarks or {}
    table = []
    for number, row in enumerate(rows):
        cells = [getattr(row, column) for column in columns]
        for texts in remarks.values():
            cells.append(texts[number])
        table.append(cells)

    return write_text(path, csv_text([*columns, *remarks], table))
