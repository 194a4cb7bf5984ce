"""The videos below a folder: one walk, which opens none of them."""

import os

from video_rs.data.decoding.location import IMAGE_ENDINGS
from video_rs.errors import InputError

# fmt: off
VIDEO_EXTENSIONS = frozenset((
    ".3gp", ".asf", ".avi", ".f4v", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts",
    ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
))
# fmt: on


def is_video(name: str) -> bool:
    """Whether a name ends like a video's."""
    return os.path.splitext(name)[1].lower() in VIDEO_EXTENSIONS


def find_videos(folder: str) -> list[str]:
    """Paths of all videos below ``folder``, relative to it, sorted. Hidden names are skipped, links are followed.

    A video is told by its name's ending. A folder with pictures is one, too, unless a video file lies beside them or
    beside the folder (but at the top): then they may be thumbnails.

    Raises:
        InputError: a folder that is not there or cannot be read.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{folder} is not a folder; give the folder that holds the videos")
    found, links = [], {os.path.realpath(folder)}
    pending = [("", False)]  # a folder, and whether a video file lies beside it
    try:
        while pending:
            inside, beside_video = pending.pop()
            folders, files = [], []
            for entry in _entries(os.path.join(folder, inside)):
                if not entry.is_dir():
                    files.append(entry.name)
                elif not entry.is_symlink() or _is_new(entry.path, links):
                    folders.append(entry.name)
            videos = list(filter(is_video, files))
            found += [inside + name for name in videos]
            if inside and not (videos or beside_video) and any(name.lower().endswith(IMAGE_ENDINGS) for name in files):
                found.append(inside.removesuffix("/"))
            pending += [(f"{inside}{name}/", bool(inside and videos)) for name in folders]
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
