"""Files whose names are spelt otherwise than in a list, though they look alike; see :func:`canonical`."""

import os

from video_rs.runtime.wording import canonical
from video_rs.video.location import Location


class Spellings:
    """How the names on this disk are spelt; each folder is listed once, and only where a path is not found as written.

    A Mac hands out file names in NFD, Linux as they came, and keyboards type NFC: a list and its files often differ.
    """

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, str]] = {}

    def on_disk(self, path: str) -> str:
        """Return the path under which a file is found whose names are those of ``path`` in some spelling.

        A path that is there is returned as it is; so is one of which there is nothing in any spelling.
        """
        location = Location.parse(path)
        return location._replace(file=self._find(location.file)).path()

    def _find(self, path: str) -> str:
        if not path or os.path.exists(path):
            return path

        folder, name = os.path.split(path)
        if folder == path:
            return path

        found = self._find(folder)
        spelt = self._names(found).get(canonical(name), name)
        return os.path.join(found, spelt)

    def _names(self, folder: str) -> dict[str, str]:
        """Return the names in a folder by how they are compared; none where it cannot be listed."""
        if folder not in self._listed:
            try:
                names = sorted(os.listdir(folder or "."))
            except (OSError, ValueError):  # ValueError: a null byte in the name
                names = []
            self._listed[folder] = {canonical(name): name for name in names}
        return self._listed[folder]
