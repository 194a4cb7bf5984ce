"""What the columns of a CSV mean, whichever of their usual names they have."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from video_rs.runtime.errors import InputError

NAMES = {
    "path": (
        "path", "file", "filepath", "file_path", "filename", "file_name", "video_path", "video_file", "video_name",
        "video", "clip_path",
    ),
    "label": ("label", "labels", "class", "class_name", "label_name", "category", "tag"),
    "split": ("split", "subset"),
    "start": ("start", "start_time", "time_start", "start_sec", "start_seconds"),
    "end": ("end", "end_time", "time_end", "end_sec", "end_seconds"),
    "id": ("id",),
    "group": ("group",),
}  # fmt: skip
"""Each column of a list, and the names that it is known by, the preferred one first.

The columns are the fields of :class:`video_rs.lists.rows.ListRow` after ``line``, in the same order.
"""
HEADER_WORDS = frozenset((*NAMES["path"], *NAMES["label"]))

# Words that suggest that a column was meant as a path or a segment; a note then says that it is not read.
_PATH_WORDS = frozenset(("path", "paths", "file", "filename", "filepath", "url", "uri"))
_SEGMENT_WORDS = frozenset(("start", "begin", "end", "stop", "onset", "offset", "segment"))
# With one of these words a column is something else: a file's size is no file.
_OTHER_WORDS = frozenset(("id", "size", "bytes", "type", "format", "count", "hash", "md5", "sha256"))


class Columns(NamedTuple):
    """Where the columns of a list stand.

    Attributes:
        places: meaning -> position in a row, -1 for an absent column; in the order of :data:`NAMES`.
        notes: sentences on columns that have another name than their meaning, or that are not read although they look
            like a column that is.
    """

    places: dict[str, int]
    notes: tuple[str, ...]


def is_header(cells: Sequence[str]) -> bool:
    """Return whether the first row of a CSV names its columns: one of them has to be a path."""
    names = map(_normalised, cells)
    return not set(NAMES["path"]).isdisjoint(names)


def find_columns(header: Sequence[str], source: str, require_labels: bool) -> Columns:
    """Return where the known columns stand in ``header``.

    Raises:
        InputError: a column stands there twice, or there are no labels although they are required.
    """
    names = list(map(_normalised, header))
    taken = {meaning: _first_of(known, names) for meaning, known in NAMES.items()}

    # Two columns of one name may differ, and nothing says which to read.
    for name in taken.values():
        if name and names.count(name) > 1:
            raise InputError(f"{source}: the header has the column {name!r} twice; rename or remove one")
    if require_labels and not taken["label"]:
        raise InputError(f"{source}: no column 'label' in the header ({','.join(header)}); add one")

    places = dict.fromkeys(NAMES, -1)
    for meaning, name in taken.items():
        if name:
            places[meaning] = names.index(name)

    notes = [*_renamed_notes(taken, source), *_unread_notes(names, taken, source)]
    return Columns(places, tuple(notes))


def _normalised(name: str) -> str:
    """Return a column's name as it is compared: ``Video Name`` is ``video_name``."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _first_of(known: Sequence[str], names: Sequence[str]) -> str:
    """Return the first of the ``known`` names that is among ``names``, or nothing."""
    for name in known:
        if name in names:
            return name
    return ""


def _renamed_notes(taken: dict[str, str], source: str) -> list[str]:
    """Return a sentence on the columns whose names differ from their meaning, if there are some."""
    renamed = [f"{name} as {meaning}" for meaning, name in taken.items() if name not in ("", meaning)]
    if not renamed:
        return []
    return [f"{source}: columns taken: {', '.join(renamed)}"]


def _unread_notes(names: Sequence[str], taken: dict[str, str], source: str) -> list[str]:
    """Return a sentence for each kind of columns that are not read although they look like it."""
    segments = []
    paths = []
    for name in names:
        if name in taken.values():
            continue
        if _has_word(name, _SEGMENT_WORDS) or name in NAMES["start"] or name in NAMES["end"]:
            segments.append(name)
        if _has_word(name, _PATH_WORDS) or name in NAMES["path"]:
            paths.append(name)

    notes = []
    if segments:
        read = " and ".join(filter(None, (taken["start"], taken["end"])))
        if read:
            instead = f"what is read is {read}"
        else:
            instead = "the whole videos are read; for segments name them start and end, in seconds"
        notes.append(f"{source}: not taken: {', '.join(segments)}; {instead}")
    if paths:
        notes.append(f"{source}: not taken: {', '.join(paths)}; the videos are those of the column {taken['path']}")
    return notes


def _has_word(name: str, words: frozenset[str]) -> bool:
    """Return whether one of the ``words`` is in a column's name, and none that makes it something else."""
    parts = set(re.split(r"[^a-z0-9]+", name))
    return not parts.isdisjoint(words) and parts.isdisjoint(_OTHER_WORDS)
