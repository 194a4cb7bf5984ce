"""A list whose files a job has copied elsewhere: read before, and written again with the new paths after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from video_rs.lists.reading import read_listing
from video_rs.lists.records import VideoRecord, records_of_rows
from video_rs.lists.rows import ListRow
from video_rs.lists.writing import columns_in_use, write_list
from video_rs.runtime.atomic import write_csv
from video_rs.video.fetching import absolute_path

LIST = "list.csv"
FAILURES = "failures.csv"


@dataclass(frozen=True)
class SourceList:
    """A list of files to copy.

    Attributes:
        rows: as written.
        records: of each row.
        root: absolute path or URL that relative paths start from.
        notes: sentences on how the list has been read.
    """

    rows: Sequence[ListRow]
    records: Sequence[VideoRecord]
    root: str
    notes: Sequence[str]

    @property
    def paths(self) -> list[str]:
        """Absolute paths of the files, each once, in the order of the list."""
        return list(dict.fromkeys(absolute_path(record.path) for record in self.records))


def read_source_list(source: str, root: str) -> SourceList:
    """Read a list of files to copy; labels may be missing.

    Raises:
        InputError: the list cannot be read.
    """
    listing = read_listing(source, root, require_labels=False)
    found = records_of_rows(listing, source)
    return SourceList(listing.rows, found.records, listing.root, found.notes)


def write_copied_list(folder: Path, source: SourceList, places: Mapping[str, str], failures: Mapping[str, str]) -> None:
    """Write ``list.csv``, in the order and with the columns of the source, and ``failures.csv``.

    The ids stay those of the source. A row without an id gets the path as it was listed: a new path tells nobody which
    video it was.

    Args:
        folder: for both files.
        source: the list.
        places: absolute path of a file -> path of its copy, as the new list writes it; other files are left out.
        failures: absolute path of a file -> why it has no copy.

    Raises:
        OSError: a file cannot be written.
    """
    copied = []
    for row, record in zip(source.rows, source.records, strict=True):
        place = places.get(absolute_path(record.path))
        if place is not None:
            copied.append(row._replace(path=place, id=record.id))

    # The columns are those of the source, also where all rows that fill one in have failed.
    write_list(folder / LIST, copied, columns_in_use(source.rows, always=("id",)))

    failed = [(path, failures[path]) for path in source.paths if path in failures]
    write_csv(folder / FAILURES, ["path", "reason"], failed)
