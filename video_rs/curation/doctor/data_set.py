"""Several lists as one data set: which split each list belongs to, and one set of class names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from video_rs.lists.label_map import read_label_map
from video_rs.lists.reading import read_listing
from video_rs.lists.records import RowFault, VideoRecord, class_names_of_rows, records_by_split
from video_rs.lists.rows import SPLIT_WORDS, SPLITS, Listing, ListRow
from video_rs.runtime.errors import InputError

# Words in the names of lists; UCF101 has trainlist01.txt.
_SPLIT_OF_WORD = SPLIT_WORDS | {f"{split}list": split for split in SPLITS}


class DataSetRow(NamedTuple):
    """One row of a data set.

    Attributes:
        split: as listed; "" where the list has no splits.
        record: of the row; of a row that cannot be used it has the path as listed and the id, and nothing else.
        fault: why the row cannot be used; "" for a row that can.
        listed: a row that cannot be used, as it is in its list.
    """

    split: str
    record: VideoRecord
    fault: str = ""
    listed: ListRow | None = None


@dataclass(frozen=True)
class DataSet:
    """Several lists as one.

    Attributes:
        rows: of all splits.
        names: of the classes: the label map's, or those of the train rows.
        notes: sentences on how the lists have been read, each once.
    """

    rows: Sequence[DataSetRow]
    names: Sequence[str]
    notes: Sequence[str] = ()

    def label_of(self, row: DataSetRow, separator: str) -> str:
        """Return the label of a row as text: as listed for a row that cannot be used, else the names of its classes."""
        if row.listed is not None:
            return row.listed.label
        return separator.join(self.names[label] for label in row.record.labels)


def read_data_set(lists: Sequence[str], root: str, label_map: str) -> DataSet:
    """Read all lists.

    Args:
        lists: list files or folders; of several, the name of a list without a split column tells its split.
        root: what relative paths start from; empty: each list's own folder.
        label_map: file with the class names; empty: the train rows name the classes.

    Raises:
        InputError: a list cannot be read, or its name tells no split.
    """
    listings = {source: read_listing(source, root, require_labels=False) for source in lists}

    # A list alone needs no split. Of several lists, a list without would hide the leaks between them.
    split_of_list: dict[str, str] = {}
    for source, listing in listings.items():
        is_split = all(row.split for row in listing.rows)
        if len(lists) > 1 and not is_split:
            split_of_list[source] = split_in_name(source)

    # All lists have the same classes, whichever list names them.
    if label_map:
        names = read_label_map(label_map)
    else:
        names = _class_names(listings, split_of_list)

    rows: list[DataSetRow] = []
    notes: list[str] = []
    for source, listing in listings.items():
        for split, records in records_by_split(listing, source, names or None).items():
            split = split or split_of_list.get(source, "")
            rows += [DataSetRow(split, record) for record in records.found.records]
            rows += [_unusable_row(split, fault) for fault in records.faults]
            notes += records.found.notes
    return DataSet(rows, names, tuple(dict.fromkeys(notes)))


def split_in_name(source: str) -> str:
    """Return the split that the name of a list or folder tells.

    Raises:
        InputError: the name tells no split, or several.
    """
    words = re.split(r"[^a-z]+", Path(source).stem.lower())
    splits = {_SPLIT_OF_WORD[word] for word in words if word in _SPLIT_OF_WORD}
    if len(splits) != 1:
        raise InputError(
            f"list {source} has rows without a split, and its name does not tell one; give it a split column, or a "
            "name with one of the words train, val and test, such as videos_train.csv"
        )
    return splits.pop()


def _class_names(listings: Mapping[str, Listing], split_of_list: Mapping[str, str]) -> tuple[str, ...]:
    """Return the class names of the lists that have train rows; of all lists where none has."""
    rows_of_list = {}
    training = []
    for source, listing in listings.items():
        default = split_of_list.get(source, "")
        rows = [row._replace(split=row.split or default) for row in listing.rows]
        rows_of_list[source] = rows
        if any(row.split == "train" for row in rows):
            training.append(source)

    # A validation list must not add classes that training does not know.
    chosen = training or list(listings)
    rows = []
    for source in chosen:
        rows += rows_of_list[source]
    return class_names_of_rows(rows, ", ".join(chosen))


def _unusable_row(split: str, fault: RowFault) -> DataSetRow:
    """Return the row of a fault."""
    listed = fault.row
    record = VideoRecord(listed.path, (), None, None, listed.id or listed.path)
    return DataSetRow(split, record, fault.reason, listed)
