"""The rows of a list as they are written in its file; :mod:`video_rs.lists.records` gives them their meaning."""

from typing import NamedTuple

SPLITS = ("train", "val", "test")
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""What lists call their splits, in small letters, and what the splits are called here."""


class ListRow(NamedTuple):
    """One row as it is written; an absent or empty cell is an empty string.

    A new column is a field here, its names in :data:`video_rs.lists.columns.NAMES`, and, if it is for others than
    writers of lists, a field of :class:`video_rs.lists.records.VideoRecord`.

    Attributes:
        line: number of the row's line in the file, from 1; 0 for a row that comes from a folder.
        path: of the video, relative to the list's root, or absolute, or a URL.
        label: class name or class id; several are joined by ``;``.
        split: ``train``, ``val``, ``test``, or another word as it is written.
        start, end: of the segment, in seconds.
        id: for reports and predictions.
        group: videos of one group, as of one speaker or one scene, are no independent ones.
    """

    line: int
    path: str
    label: str = ""
    split: str = ""
    start: str = ""
    end: str = ""
    id: str = ""
    group: str = ""

    @property
    def is_of_folder(self) -> bool:
        """Whether the row comes from a folder of class folders."""
        return self.line == 0

    def where(self, source: str) -> str:
        """Return the place of the row in ``source``, for messages."""
        if self.is_of_folder:
            return f"{source}, {self.path}"
        return f"{source}, line {self.line}"


COLUMNS = ListRow._fields[1:]
"""The columns of a list file, in their order."""


class Listing(NamedTuple):
    """All rows of a list.

    Attributes:
        rows: in the order of the list.
        root: absolute path or URL that relative paths start from.
        has_splits: whether the list says which split each row belongs to.
        notes: sentences on how the list has been read.
    """

    rows: list[ListRow]
    root: str
    has_splits: bool
    notes: tuple[str, ...] = ()


def shortened(text: str, limit: int = 80) -> str:
    """Return the first ``limit`` characters: a row that lost its line ends would bury a message."""
    if len(text) <= limit:
        return text
    return text[:limit] + "…"
