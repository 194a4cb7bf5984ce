"""Several lists as one data set, as the doctor sees it: whose split each is, and one set of class names."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from video_rs.data.doctor import Row
from video_rs.data.listing import SPLIT_WORDS, SPLITS, Listing, read_listing
from video_rs.data.listing import Row as ListedRow
from video_rs.data.records import VideoRecord, names_in, read_label_map, splits_of
from video_rs.errors import InputError

# UCF101 has trainlist01.txt.
_LIST_WORDS = SPLIT_WORDS | {f"{split}list": split for split in SPLITS}


def read_rows(lists: Sequence[str], root: str, label_map: str) -> tuple[list[Row], tuple[str, ...], tuple[str, ...]]:
    """Return the rows of all lists, the names of the classes, and notes on how the lists were read.

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
    for source, listing in listings.items():
        for split, (records, faults) in splits_of(listing, source, names or None).items():
            named = split or splits.get(source, "")
            rows += [Row(named, record) for record in records]
            rows += [Row(named, _unusable(row), reason, row.label) for row, reason in faults]
    notes = dict.fromkeys(note for listing in listings.values() for note in listing.notes)
    return rows, names, tuple(notes)


def _class_names(listings: Mapping[str, Listing], splits: Mapping[str, str]) -> tuple[str, ...]:
    """Of the train rows, in whichever list they are; of all rows where there are none."""
    training = [
        source
        for source, listing in listings.items()
        if splits.get(source) == "train" or any(row.split == "train" for row in listing.rows)
    ]
    found = [names_in(listings[source], source) for source in training or listings]
    names = sorted(set().union(*found))
    if all(map(str.isdecimal, names)):  # class ids: 10 comes after 9
        return max(found, key=len)
    return tuple(names)


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
