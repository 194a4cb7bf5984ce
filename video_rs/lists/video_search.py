"""The videos below a folder, found by one walk that opens none of them but WebPs; and what the walk leaves out."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import first_names, pluralize
from video_rs.video.location import IMAGE_ENDINGS
from video_rs.video.readers.webp import WEBP_ENDING, is_animated_webp

# fmt: off
VIDEO_EXTENSIONS = frozenset((
    ".264", ".265", ".3g2", ".3gp", ".3gp2", ".3gpp", ".apng", ".asf", ".avi", ".avif", ".divx", ".dv", ".dvr-ms",
    ".f4p", ".f4v", ".flv", ".gif", ".gxf", ".h261", ".h263", ".h264", ".h265", ".hevc", ".insv", ".ismv", ".ivf",
    ".lrv", ".m1v", ".m2p", ".m2t", ".m2ts", ".m2v", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod",
    ".mov", ".mp4", ".mp4v", ".mpe", ".mpeg", ".mpg", ".mpv", ".mqv", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv",
    ".qt", ".rm", ".rmvb", ".tod", ".tp", ".trp", ".ts", ".vob", ".vro", ".webm", ".wmv", ".wtv", ".xvid", ".y4m",
))
# fmt: on
_FLOW_FOLDERS = frozenset(("flow", "flow_x", "flow_y", "flow_u", "flow_v"))
_RGB_FOLDERS = frozenset(("rgb", "img", "images", "frames"))


class FoundVideos(NamedTuple):
    """What a walk finds below a folder; all paths are relative to it.

    Attributes:
        videos: files and folders of frames, sorted.
        left_out: ending -> number of other files with it; "" stands for no ending.
        empty: folders with no video below them, sorted; of nested ones the outermost.
    """

    videos: list[str]
    left_out: Counter[str]
    empty: list[str]


def is_video(name: str) -> bool:
    """Return whether a name ends like a video's."""
    return _ending(name) in VIDEO_EXTENSIONS


def search_videos(folder: str) -> FoundVideos:
    """Find all videos below ``folder``. Hidden names are skipped, links are followed.

    A file is a video by its name's ending, and an animated WebP by its first bytes. A folder with pictures is a video,
    too, with all that is below it, unless a video file is in it, below it, or beside it or a folder around it (but at
    the top): then the pictures may be thumbnails. A folder of optical flow (``flow_x``) beside the folder of frames
    (``rgb``, ``img``) is no video.

    Raises:
        InputError: the folder is not there, or a folder below it cannot be read.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{folder} is not a folder; give the folder that holds the videos")
    try:
        found = _walk(folder, "", False, frozenset())
    except OSError as error:
        raise InputError(
            f"cannot read {error.filename} ({error.strerror}); make it readable or move it away"
        ) from error
    return FoundVideos(sorted(found.files + found.frame_folders), found.left_out, sorted(found.empty))


def find_videos(folder: str) -> list[str]:
    """Return the videos of :func:`search_videos` alone."""
    return search_videos(folder).videos


def videos_at(path: str) -> list[str]:
    """Return the videos that a path stands for: all below a folder, else the path itself, a file or a URL.

    A folder that holds nothing but pictures is a video itself, with these as its frames.

    Raises:
        InputError: the folder has no videos, or cannot be read.
    """
    if not os.path.isdir(path):
        return [path]

    found = search_videos(path)
    if found.videos:
        return [os.path.join(path, video) for video in found.videos]
    if _has_pictures(os.listdir(path)):
        return [path]
    why = "".join(f"; {note}" for note in left_out_notes(found)[:1])
    raise InputError(f"folder {path} has no videos in it{why}; give videos, or a folder of them")


def left_out_notes(found: FoundVideos, class_depth: int = 0) -> list[str]:
    """Return a line on files that were left out, and a line on class folders without a video, where there are any.

    Args:
        found: in a folder of class folders.
        class_depth: how many folders a class folder lies in: 1 below ``train`` and ``val``.
    """
    notes = []
    if found.left_out:
        files = pluralize(found.left_out.total(), "file")
        notes.append(f"left out: {files} without a video's ending ({_frequent_endings(found.left_out)})")

    empty = [path for path in found.empty if path.count("/") == class_depth]
    if empty:
        notes.append(f"left out: {pluralize(len(empty), 'class folder')} without a video ({first_names(empty)})")
    return notes


def _frequent_endings(counts: Mapping[str, int]) -> str:
    """Return ``.txt 3, .srt 1``, the most frequent ending first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return first_names([f"{ending or 'no ending'} {count}" for ending, count in ordered])


@dataclass
class _Below:
    """What lies below a folder, by its path from the top."""

    files: list[str] = field(default_factory=list)
    frame_folders: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    empty: list[str] = field(default_factory=list)

    def add(self, other: "_Below") -> None:
        """Add what lies below a folder inside."""
        self.files += other.files
        self.frame_folders += other.frame_folders
        self.left_out += other.left_out
        self.empty += other.empty


def _walk(root: str, inside: str, beside_video: bool, around: frozenset[tuple[int, int]]) -> _Below:
    """Search below one folder.

    Args:
        root: the top of the search.
        inside: path of the folder from the top: "", or with a slash at its end.
        beside_video: whether a video file lies beside the folder or beside a folder around it.
        around: devices and inodes of the folders around it: a circle of links has to have an end.
    """
    here = os.path.join(root, inside)
    status = os.stat(here)
    identity = (status.st_dev, status.st_ino)
    if identity in around:
        return _Below()

    folders, names = _entries(here)
    videos = {name for name in names if is_video(name)} | _animations(here, names)

    found = _Below()
    for name in names:
        if name in videos:
            found.files.append(inside + name)
        else:
            found.left_out[_ending(name)] += 1

    # At the top, videos lie beside each other for other reasons.
    if inside and found.files:
        beside_video = True
    for name in folders:
        found.add(_walk(root, f"{inside}{name}/", beside_video, around | {identity}))
    _drop_flow(found, inside, folders)

    # What is left to say is of folders below the top that hold no video file.
    if not inside or found.files:
        return found
    path = inside.removesuffix("/")
    if not beside_video and _has_pictures(names):
        return _Below(frame_folders=[path])  # all that is below belongs to the frames
    if not found.frame_folders:
        found.empty = [path]
    return found


def _entries(folder: str) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder, without hidden ones."""
    folders = []
    files = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name[0] == ".":
                continue
            if entry.is_dir():
                folders.append(entry.name)
            else:
                files.append(entry.name)
    return folders, files


def _animations(folder: str, names: Sequence[str]) -> set[str]:
    """Return the names of animated WebPs; where the first ``.webp`` is a picture, all are taken for frames."""
    pictures = [name for name in names if _ending(name) == WEBP_ENDING]
    pictures.sort()

    # One look is enough for a folder of thousands of frames.
    if not pictures or not is_animated_webp(os.path.join(folder, pictures[0])):
        return set()
    return {name for name in pictures if is_animated_webp(os.path.join(folder, name))}


def _drop_flow(found: _Below, inside: str, folders: Sequence[str]) -> None:
    """Remove the folders of optical flow that lie beside a folder of frames."""
    has_frames_beside = not _RGB_FOLDERS.isdisjoint(map(str.lower, folders))
    if not has_frames_beside:
        return

    flow = {inside + name for name in folders if name.lower() in _FLOW_FOLDERS}
    found.frame_folders = [path for path in found.frame_folders if path not in flow]


def _has_pictures(names: Sequence[str]) -> bool:
    """Return whether one of the names ends like a picture's."""
    return any(name.lower().endswith(IMAGE_ENDINGS) for name in names)


def _ending(name: str) -> str:
    """Return the ending of a name in small letters, with its dot."""
    return os.path.splitext(name)[1].lower()
