"""From a path as a list writes it to the file on this disk: below its root, in the disk's spelling."""

import os
import re

from video_rs.lists.listing import Row, short
from video_rs.lists.spelling import Spellings
from video_rs.runtime.errors import InputError
from video_rs.video.fetching import is_url
from video_rs.video.location import Location

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")  # C:\ or \\server


class PathFinder:
    """Where the videos of one list are.

    Args:
        root: absolute, what relative paths start from.
        source: the list, for messages.
    """

    def __init__(self, root: str, source: str):
        self.root, self.source = root, source
        self.spellings = Spellings()
        self.with_backslashes: list[str] = []

    def find(self, row: Row) -> str:
        """Return the absolute path, or the URL, of a row's video; whether it is there is not looked up for most.

        Raises:
            InputError: there is no path, one of another system, or one that leaves the root.
        """
        path = row.path
        if not path:
            raise InputError(f"{row.where(self.source)}: the path is empty; fill it in")
        if "\\" in path:
            path = self._with_slashes(row)
        if "://" in path:
            return path

        where = path if path[0] == "/" else f"{self.root}/{path}"
        if ".." in path and path[0] != "/" and os.path.normpath(path).split(os.sep)[0] == "..":
            raise InputError(
                f"{row.where(self.source)}: path {short(path)!r} leaves its root {self.root}; write it as an absolute "
                "path, or choose a root that holds all videos"
            )
        # A look at each file of a large list takes minutes on a network disk; only these have other spellings.
        if path.isascii() or is_url(where):
            return where
        return self.spellings.on_disk(where)

    def notes(self) -> list[str]:
        """Return sentences on how the paths that were asked for have been read."""
        if not self.with_backslashes:
            return []
        count, first = len(self.with_backslashes), short(self.with_backslashes[0])
        paths = "1 path has backslashes, which are" if count == 1 else f"{count} paths have backslashes, which are"
        return [f"{self.source}: {paths} read as /, such as {first}"]

    def _with_slashes(self, row: Row) -> str:
        r"""Return a path that Windows wrote, ``a\b.mp4``, as ours; a name that has backslashes here keeps them."""
        path = row.path
        if os.path.exists(Location.parse(os.path.join(self.root, path)).file):
            return path
        if _WINDOWS.match(path):
            raise InputError(
                f"{row.where(self.source)}: path {short(path)} is one of a Windows machine; write paths relative to "
                "the folder of the videos, and give that folder as the root (DATA.ROOT, --root)"
            )
        self.with_backslashes.append(path)
        return path.replace("\\", "/")
