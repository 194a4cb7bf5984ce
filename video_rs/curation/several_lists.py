"""Several lists as one data set, as the doctor sees it: whose split each is, and one set of class names."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from video_rs.curation.doctor import Row
from video_rs.lists.listing import SPLIT_WORDS, SPLITS, Listing, read_listing
from video_rs.lists.listing import Row as ListedRow
from video_rs.lists.records import VideoRecord, names_in, read_label_map, splits_of
from video_rs.runtime.errors import InputError

# UCF101 has trainlist01.txt.
_LIST_WORDS = SPLIT_WORDS | {f"{split}list": split for split in SPLITS}


class DataSet(NamedTuple):
    """Several lists as one.

    Attributes:
        rows: of all splits.
        names: of the classes: the label map's, or those of the train rows.
        notes: sentences on how the lists have been read, each once.
    """

    rows: list[Row]
    names: tuple[str, ...]
    notes: list[str]


def read_rows(lists: Sequence[str], root: str, label_map: str) -> DataSet:
    """Read all lists.

    The names are the label map's, or those of the train rows. Of several lists, the name of one without a split column
    tells its split.

    Raises:
        InputError: a list that cannot be read, or whose name tells no split.
    """
    listings = {source: read_listing(source, root, require_labels=False) for source in lists}
    unsplit = [source for source, listing in listings.items() if not all(row.split for row in listing.rows)]
    splits = {source: split_of(source) for source in unsplit if len(lists) > 1}
    names = read_label_map(label_map) if label_map else _class_names(listings, splits)
    rows: list[Row] = []
    notes: list[str] = []
    for source, listing in listings.items():
        for split, (found, faults) in splits_of(listing, source, names or None).items():
            named = split or splits.get(source, "")
            rows += [Row(named, record) for record in found.records]
            rows += [Row(named, _unusable(row), reason, row.label) for row, reason in faults]
            notes += found.notes
    return DataSet(rows, names, list(dict.fromkeys(notes)))


def _class_names(listings: Mapping[str, Listing], splits: Mapping[str, str]) -> tuple[str, ...]:
    """Of the train rows, in whichever list they are; of all rows where there are none."""
    rows = {
        source: [row._replace(split=row.split or splits.get(source, "")) for row in listing.rows]
        for source, listing in listings.items()
    }
    training = [source for source in rows if any(row.split == "train" for row in rows[source])]
    chosen = training or list(rows)
    return names_in([row for source in chosen for row in rows[source]], ", ".join(chosen))


def split_of(source: str) -> str:
    """The split that the name of a list or folder tells. InputError where it tells none, or two."""
    words = re.split(r"[^a-z]+", Path(source).stem.lower())
    splits = {_LIST_WORDS[word] for word in words if word in _LIST_WORDS}
    if len(splits) != 1:
        raise InputError(
            f"list {source} has rows without a split, and its name does not tell one; give it a split column, or a "
            "name with one of the words train, val and test, such as videos_train.csv"
        )
    return splits.pop()


def _unusable(row: ListedRow) -> VideoRecord:
    return VideoRecord(row.path, (), None, None, row.id or row.path)
