"""Which videos of a list another list has already: the same file, or a file of equal content."""

import os
from collections.abc import Iterable, Sequence

from video_rs.video.errors import DecodeError
from video_rs.video.fetching import is_url
from video_rs.video.location import Location
from video_rs.video.probing.fingerprint import fingerprint


def known_places(paths: Sequence[str], known: Iterable[str]) -> list[int]:
    """Return the places of those ``paths`` whose file, or whose content, is among ``known``.

    Contents are compared by the fingerprints of :mod:`video_rs.video.probing`. They are read only of files that have
    the size of a known one. URLs and folders of frames are compared by name.

    Args:
        paths: to look at.
        known: paths of the other list.
    """
    known = set(known)
    real = {_real(path) for path in known}
    by_size: dict[int, list[str]] = {}
    for path in known:
        by_size.setdefault(_size(path), []).append(path)
    # Of files without a size nothing can be read.
    by_size.pop(-1, None)

    contents: dict[int, set[str]] = {}
    found = []
    for place, path in enumerate(paths):
        if path in known or _real(path) in real:
            found.append(place)
            continue
        size = _size(path)
        if size not in by_size:
            continue
        if size not in contents:
            contents[size] = {_content(other) for other in by_size[size]} - {""}
        if _content(path) in contents[size]:
            found.append(place)
    return found


def _real(path: str) -> str:
    """Return a path without links; a URL as it is."""
    return path if is_url(path) else os.path.realpath(path)


def _size(path: str) -> int:
    """Return the bytes of a file, or of a part of a shard; -1 where there is none."""
    if is_url(path) or os.path.isdir(path):
        return -1
    try:
        return Location.parse(path).bytes()
    except (OSError, DecodeError):
        return -1


def _content(path: str) -> str:
    """Return the fingerprint of a file; "" where it cannot be read."""
    try:
        return fingerprint(path)
    except DecodeError:
        return ""
