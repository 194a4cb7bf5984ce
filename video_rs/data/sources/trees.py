"""The videos below a folder: one walk, then look-ups by name."""

import os
from collections.abc import Iterable
from functools import cached_property, lru_cache

from video_rs.data.listing import VIDEO_EXTENSIONS
from video_rs.errors import InputError


def find_videos(folder: str) -> list[str]:
    """Paths of all videos below ``folder``, relative to it, sorted. Hidden names are skipped, links are followed.

    A video is told by its name's ending. Raises InputError for a folder that is not there or cannot be read.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{folder} is not a folder; give the folder that holds the videos")
    found, pending, links = [], [""], {os.path.realpath(folder)}
    try:
        while pending:
            inside = pending.pop()
            for entry in _entries(os.path.join(folder, inside)):
                if entry.is_dir():
                    if not entry.is_symlink() or _is_new(entry.path, links):
                        pending.append(f"{inside}{entry.name}/")
                elif os.path.splitext(entry.name)[1].lower() in VIDEO_EXTENSIONS:
                    found.append(inside + entry.name)
    except OSError as error:
        raise InputError(
            f"cannot read {error.filename} ({error.strerror}); make it readable or move it away"
        ) from error
    return sorted(found)


def _entries(folder: str) -> list[os.DirEntry]:
    # In order, so that of two links to one folder the same one counts every time.
    with os.scandir(folder) as entries:
        return sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)


def _is_new(link: str, links: set[str]) -> bool:
    """Whether a linked folder was not entered before; a circle of links would have no end."""
    target = os.path.realpath(link)
    new = target not in links
    links.add(target)
    return new


def stem_of(path: str) -> str:
    """The file name without its ending; without both where a download or conversion left two (``a.mp4.webm``)."""
    stem = os.path.basename(path)
    while True:
        shorter, ending = os.path.splitext(stem)
        if ending.lower() not in VIDEO_EXTENSIONS:
            return stem
        stem = shorter


@lru_cache(maxsize=4096)
def normalised(text: str) -> str:
    """What is left of a name whatever replaced its spaces, brackets and capitals: letters and digits, folded."""
    return "".join(filter(str.isalnum, text.casefold()))


class VideoIndex:
    """Paths by file name.

    Args:
        paths: relative, as :func:`find_videos` gives them.
    """

    def __init__(self, paths: Iterable[str]):
        self.paths = list(paths)

    def named(self, stem: str) -> list[str]:
        """Paths of the files of that name, whatever their ending and folder."""
        return self._by_stem.get(stem, [])

    def like(self, stem: str) -> list[str]:
        """The same for names that agree in their letters and digits."""
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
