"""What the columns of a CSV mean, whichever of their usual names they have."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from video_rs.runtime.errors import InputError

# Each meaning, and the names that it is known by, the best one first.
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
}  # fmt: skip
HEADER_WORDS = frozenset((*NAMES["path"], *NAMES["label"]))

# Words in the name of a column that is not taken, and that somebody may have meant to be.
_PATH_WORDS = frozenset(("path", "paths", "file", "filename", "filepath", "url", "uri"))
_SEGMENT_WORDS = frozenset(("start", "begin", "end", "stop", "onset", "offset", "segment"))
# A file's size is no file.
_OTHER_WORDS = frozenset(("id", "size", "bytes", "type", "format", "count", "hash", "md5", "sha256"))


class Columns(NamedTuple):
    """Where the columns of a list stand.

    Attributes:
        places: meaning -> position in a row, -1 for an absent one; in the order of :data:`NAMES`.
        notes: sentences on columns that have another name than their meaning, or that look like one and are not taken.
    """

    places: dict[str, int]
    notes: tuple[str, ...]


def is_header(cells: Sequence[str]) -> bool:
    """Return whether the first row of a CSV names its columns: one of them has to be a path."""
    return not set(NAMES["path"]).isdisjoint(map(_plain, cells))


def find_columns(header: Sequence[str], source: str, require_labels: bool) -> Columns:
    """Return where the known columns stand in ``header``.

    Raises:
        InputError: a column is there twice, or there are no labels although they are required.
    """
    names = [_plain(name) for name in header]
    taken = {meaning: _first(known, names) for meaning, known in NAMES.items()}
    for name in filter(None, taken.values()):
        if names.count(name) > 1:
            raise InputError(f"{source}: the header has the column {name!r} twice; rename or remove one")

    if not taken["label"] and require_labels:
        raise InputError(f"{source}: no column 'label' in the header {','.join(header)}; add one")

    places = {meaning: names.index(name) if name else -1 for meaning, name in taken.items()}
    notes = [*_renamed(taken, source), *_left(names, taken, source)]
    return Columns(places, tuple(notes))


def _plain(name: str) -> str:
    """Return a column's name as it is compared: ``Video Name`` is ``video_name``."""
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def _first(known: Sequence[str], names: Sequence[str]) -> str:
    """Return the best of the ``known`` names that is there, or nothing."""
    return next((name for name in known if name in names), "")


def _renamed(taken: dict[str, str], source: str) -> list[str]:
    """Return a sentence on the columns whose names are not ours."""
    others = [f"{name} as {meaning}" for meaning, name in taken.items() if name not in ("", meaning)]
    return [f"{source}: columns taken: {', '.join(others)}"] if others else []


def _left(names: Sequence[str], taken: dict[str, str], source: str) -> list[str]:
    """Return a sentence for each kind of columns that look like what is read, and are not."""
    left = [name for name in names if name not in taken.values()]
    segments = [name for name in left if _looks(name, _SEGMENT_WORDS) or name in (*NAMES["start"], *NAMES["end"])]
    paths = [name for name in left if _looks(name, _PATH_WORDS) or name in NAMES["path"]]
    notes = []
    if segments:
        has_segments = taken["start"] or taken["end"]
        what = "what is read is" if has_segments else "the whole videos are read; for segments name them"
        named = " and ".join(filter(None, (taken["start"], taken["end"]))) or "start and end, in seconds"
        notes.append(f"{source}: not taken: {', '.join(segments)}; {what} {named}")
    if paths:
        notes.append(f"{source}: not taken: {', '.join(paths)}; the videos are those of the column {taken['path']}")
    return notes


def _looks(name: str, words: frozenset[str]) -> bool:
    parts = set(re.split(r"[^a-z0-9]+", name))
    return not parts.isdisjoint(words) and parts.isdisjoint(_OTHER_WORDS)
