"""From a path as a list writes it to the file on this disk: below the root, in the disk's spelling."""

import os
import re

from video_rs.lists.rows import ListRow, shortened
from video_rs.lists.unicode_names import UnicodeNames
from video_rs.runtime.errors import InputError
from video_rs.video.fetching import is_url
from video_rs.video.location import Location

_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")  # C:\ or \\server


class PathResolver:
    """Where the videos of one list are.

    Args:
        root: absolute path or URL that relative paths start from.
        source: the list, for messages.
    """

    def __init__(self, root: str, source: str):
        self.root = root
        self.source = source
        self._names = UnicodeNames()
        self._with_backslashes: list[str] = []

    def resolve(self, row: ListRow) -> str:
        """Return the absolute path, or the URL, of a row's video; most are not looked up on the disk.

        Raises:
            InputError: the path is empty, is one of another system, or leaves the root.
        """
        path = row.path
        if not path:
            raise InputError(f"{row.where(self.source)}: the path is empty; fill it in")
        if "\\" in path:
            path = self._with_slashes(row)
        if "://" in path:
            return path

        if path[0] == "/":
            resolved = path
        else:
            resolved = f"{self.root}/{path}"
            self._refuse_outside(row, path)

        # A look at each file of a large list takes minutes on a network disk; only names beyond ASCII have other
        # spellings.
        if path.isascii() or is_url(resolved):
            return resolved
        return self._names.on_disk(resolved)

    def notes(self) -> list[str]:
        """Return sentences on how the paths that were resolved have been read."""
        count = len(self._with_backslashes)
        if count == 0:
            return []

        paths = f"{count} paths have backslashes, which are"
        if count == 1:
            paths = "1 path has backslashes, which are"
        return [f"{self.source}: {paths} read as /, such as {shortened(self._with_backslashes[0])}"]

    def _refuse_outside(self, row: ListRow, path: str) -> None:
        """Raise InputError where a relative path leads out of the root."""
        # The first test is fast, and true of few paths.
        if ".." in path and os.path.normpath(path).split(os.sep)[0] == "..":
            raise InputError(
                f"{row.where(self.source)}: path {shortened(path)!r} leaves its root {self.root}; write it as an "
                "absolute path, or choose a root that holds all videos"
            )

    def _with_slashes(self, row: ListRow) -> str:
        r"""Return a path that Windows wrote, ``a\b.mp4``, as ``a/b.mp4``, unless a file has that very name."""
        path = row.path
        if os.path.exists(Location.parse(os.path.join(self.root, path)).file):
            return path
        if _WINDOWS.match(path):
            raise InputError(
                f"{row.where(self.source)}: path {shortened(path)} is one of a Windows machine; write paths relative "
                "to the folder of the videos, and give that folder as the root (DATA.ROOT, --root)"
            )

        self._with_backslashes.append(path)
        return path.replace("\\", "/")
