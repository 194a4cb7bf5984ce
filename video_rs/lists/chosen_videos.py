"""The videos that somebody names: files, folders, patterns, lists and URLs."""

import glob
import math
import os
from collections.abc import Sequence

from video_rs.lists.records import VideoRecord, read_records
from video_rs.lists.video_search import videos_at
from video_rs.runtime.errors import InputError

LIST_ENDINGS = (".csv", ".txt")


def chosen_videos(names: Sequence[str], start: float | None = None, end: float | None = None) -> list[VideoRecord]:
    """Return the videos that names stand for, in their order.

    Args:
        names: of files, URLs, folders (all videos below each), patterns such as ``clips/*.mp4`` or ``**/*.mkv``, and
            lists, files that end in ``.csv`` or ``.txt``.
        start, end: of the part of each video that is meant, in seconds; None: from its begin, to its end.

    Raises:
        InputError: a list cannot be read or has segments of its own beside ``start`` or ``end``, a folder has no
            videos, or nothing matches a pattern.
    """
    check_times(start, end)
    records = []
    for name in names:
        if not name:
            raise InputError("VIDEO is empty; name a file, a URL, a folder, a pattern, or a list")
        if os.path.isfile(name) and name.lower().endswith(LIST_ENDINGS):
            records += _records_of_list(name, start, end)
            continue
        for path in _paths_at(name):
            records.append(VideoRecord(path, (), start, end, path))
    return records


def check_times(start: float | None, end: float | None) -> None:
    """Raise InputError where a part, in seconds, has no time in it."""
    if start is not None and not 0 <= start < math.inf:
        raise InputError(f"--start is {start:g}; allowed: seconds from 0 on")
    if end is not None and not (start or 0) < end < math.inf:
        raise InputError(f"--end is {end:g}; allowed: seconds after the start, {start or 0:g}")


def _records_of_list(path: str, start: float | None, end: float | None) -> list[VideoRecord]:
    """Return all rows of a list, whatever their split; labels do not matter."""
    records = list(read_records(path, require_labels=False).records)
    if start is None and end is None:
        return records
    parts = []
    for record in records:
        if record.start is not None or record.end is not None:
            raise InputError(f"{path} has rows with start and end of their own; leave --start and --end out")
        parts.append(VideoRecord(record.path, record.labels, start, end, record.id, record.group))
    return parts


def _paths_at(name: str) -> list[str]:
    """Return the videos of a folder or a pattern, or the name itself."""
    is_pattern = glob.has_magic(name) and "://" not in name and not os.path.exists(name)
    if not is_pattern:
        return videos_at(name)

    found = sorted(glob.glob(name, recursive=True))
    if not found:
        folder = os.path.dirname(name) or "."
        raise InputError(f"nothing matches {name}; give files, or a pattern of files that are there (in {folder})")
    paths = []
    for path in found:
        paths += videos_at(path)
    return paths
