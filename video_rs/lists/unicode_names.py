"""Files whose names are spelt with other code points than in a list, though both look alike."""

import os

from video_rs.runtime.wording import canonical
from video_rs.video.location import Location


class UnicodeNames:
    """How the names of files are spelt on this disk.

    A Mac hands out file names in Unicode's NFD, Linux as they came, and keyboards type NFC: a list and its files often
    differ. Each folder is listed once, and only where a path is not found as it is written.
    """

    def __init__(self) -> None:
        self._listed: dict[str, dict[str, str]] = {}

    def on_disk(self, path: str) -> str:
        """Return the path under which a file is found whose names are those of ``path`` in some spelling.

        A path that exists is returned as it is, and a path of which nothing exists in any spelling too.
        """
        location = Location.parse(path)
        return location._replace(file=self._find(location.file)).path()

    def _find(self, path: str) -> str:
        """Return the spelling of ``path`` on the disk, folder by folder."""
        if not path or os.path.exists(path):
            return path

        folder, name = os.path.split(path)
        if folder == path:  # the root of the file system
            return path

        found = self._find(folder)
        spelt = self._names(found).get(canonical(name), name)
        return os.path.join(found, spelt)

    def _names(self, folder: str) -> dict[str, str]:
        """Return canonical name -> name on the disk of what is in a folder; nothing where it cannot be listed."""
        if folder not in self._listed:
            try:
                names = sorted(os.listdir(folder or "."))
            except (OSError, ValueError):  # ValueError: a null byte in the name
                names = []
            self._listed[folder] = {canonical(name): name for name in names}
        return self._listed[folder]
