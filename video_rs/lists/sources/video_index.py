"""Videos by their names, as official lists write them."""

import os
from collections.abc import Iterable
from functools import cached_property, lru_cache

from video_rs.lists.video_search import is_video
from video_rs.runtime.wording import canonical


def stem_of(path: str) -> str:
    """Return the file name without its ending; without both where a download left two (``a.mp4.webm``)."""
    stem = canonical(os.path.basename(path))
    while is_video(stem):
        stem = os.path.splitext(stem)[0]
    return stem


@lru_cache(maxsize=4096)
def normalised(text: str) -> str:
    """Return the letters and digits of a name, folded: what stays whatever replaced its spaces and capitals."""
    return "".join(filter(str.isalnum, canonical(text).casefold()))


class VideoIndex:
    """Paths by file name.

    Args:
        paths: relative, as :func:`video_rs.lists.video_search.find_videos` returns them.
    """

    def __init__(self, paths: Iterable[str]):
        self.paths = list(paths)

    def named(self, stem: str) -> list[str]:
        """Return the paths of the files of that name, whatever their ending and folder."""
        return self._by_stem.get(stem, [])

    def named_alike(self, stem: str) -> list[str]:
        """Return the paths of the files whose names agree with ``stem`` in their letters and digits."""
        return self._by_letters.get(normalised(stem), [])

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for path in self.paths:
            groups.setdefault(stem_of(path), []).append(path)
        return groups

    @cached_property
    def _by_letters(self) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for stem, paths in self._by_stem.items():
            groups.setdefault(normalised(stem), []).extend(paths)
        return groups
