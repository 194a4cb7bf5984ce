"""Where in a prepared folder the copy of each file lies, and whether it is there and up to date."""

import os
from collections.abc import Iterable
from pathlib import Path

from video_rs.runtime.errors import InputError
from video_rs.video.fetching import is_url
from video_rs.video.location import Location

INSIDE = "videos"
"""Folder of the copies of files that lie below the list's root."""
OUTSIDE = "outside"
"""Folder of the copies of files from elsewhere."""


def choose_targets(paths: Iterable[str], root: str, folder: Path) -> dict[str, str]:
    """Return path of each file -> absolute path of its copy.

    Args:
        paths: absolute paths or URLs.
        root: of the list.
        folder: that is prepared.

    Raises:
        InputError: two files would have one copy.
    """
    targets: dict[str, str] = {}
    source_of_target: dict[str, str] = {}

    for path in paths:
        target = str(folder / place_of(path, root))
        other = source_of_target.setdefault(target, path)
        if other != path:
            raise InputError(f"{other} and {path} would both become {target}; rename one of them")
        targets[path] = target
    return targets


def place_of(path: str, root: str) -> str:
    """Return the path of a file's copy below the prepared folder; the tree stays as it was.

    ``a.avi`` becomes ``a.avi.mp4``: there may be an ``a.mp4``, which keeps its name. A URL ``http://host/a.mp4`` from
    elsewhere becomes a file of the folder ``http/host``.
    """
    root = root.rstrip("/")
    if path.startswith(f"{root}/"):
        part = INSIDE
        place = path.removeprefix(root)
    else:
        part = OUTSIDE
        place = path.replace("://", "/")

    # The slash in front keeps the ".." of a URL from leading out of the folder.
    place = os.path.normpath(f"/{place}").lstrip("/")
    if not place.endswith(".mp4"):
        place += ".mp4"
    return os.path.join(part, place)


def is_up_to_date(path: str, target: str) -> bool:
    """Return whether the copy is there and made of its source as it is now.

    A source that is gone, or is a URL, is taken as unchanged.
    """
    try:
        copy = os.stat(target)
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return False
    # Some file systems leave an empty file behind after the machine has crashed.
    if copy.st_size == 0:
        return False

    changed = time_of_change(path)
    return changed is None or is_same_time(copy.st_mtime_ns, changed)


def time_of_change(path: str) -> int | None:
    """Return when a source changed last, in ns; of a folder of frames, when the last of them did.

    A copy gets this as its own time. Were it enough that the copy is the later one, an older file that takes the
    source's place would go unnoticed.

    Returns:
        None for a URL and for a file that is gone.
    """
    if is_url(path):
        return None
    try:
        files = [Location.parse(path).file, *files_inside(path)]
        return max(os.stat(file).st_mtime_ns for file in files)
    except (OSError, ValueError):
        return None


def files_inside(path: str) -> list[str]:
    """Return the files of a folder of frames; nothing for a file, or for a folder that may not be read."""
    try:
        return [entry.path for entry in os.scandir(path) if entry.is_file()]
    except OSError:
        return []


def is_same_time(kept: int, given: int) -> bool:
    """Return whether a file system keeps the time ``given`` as ``kept``: in ns, in us, ... or in whole seconds."""
    for digits in range(10):
        unit = 10**digits
        if kept % unit == 0 and abs(kept - given) < unit:
            return True
    return False
