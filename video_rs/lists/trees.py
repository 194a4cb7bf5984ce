"""The videos below a folder: one walk, which opens none of them but WebPs, and what it leaves out."""

import os
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import counted, some
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


def is_video(name: str) -> bool:
    """Whether a name ends like a video's."""
    return _ending(name) in VIDEO_EXTENSIONS


class Tree(NamedTuple):
    """What a walk finds below a folder; all paths are relative to it.

    Attributes:
        videos: files and folders of frames, sorted.
        left_out: how many other files have each ending; "" stands for none.
        empty: folders with no video below them, sorted; of nested ones the outermost.
    """

    videos: list[str]
    left_out: Counter[str]
    empty: list[str]


def find_videos(folder: str) -> list[str]:
    """Return the videos of :func:`search` alone."""
    return search(folder).videos


def search(folder: str) -> Tree:
    """Find all videos below ``folder``. Hidden names are skipped, links are followed.

    A video is told by its name's ending, and an animated WebP by its first bytes. A folder with pictures is a video,
    too, with all that is below it, unless a video file is in it, below it, or beside it or a folder around it (but at
    the top): then they may be thumbnails. Optical flow (``flow_x``) beside the frames (``rgb``, ``img``) is none.

    Raises:
        InputError: a folder that is not there or cannot be read.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{folder} is not a folder; give the folder that holds the videos")
    try:
        found = _walk(folder, "", False, frozenset())
    except OSError as error:
        raise InputError(
            f"cannot read {error.filename} ({error.strerror}); make it readable or move it away"
        ) from error
    return Tree(sorted(found.files + found.frames), found.left_out, sorted(found.empty))


def videos_at(path: str) -> list[str]:
    """Return the videos that a path stands for: all below a folder, else the path itself, a file or a URL.

    A folder that holds nothing but pictures is a video itself, with these as its frames.

    Raises:
        InputError: a folder without videos, or that cannot be read.
    """
    if not os.path.isdir(path):
        return [path]
    tree = search(path)
    if tree.videos:
        return [os.path.join(path, video) for video in tree.videos]
    if any(name.lower().endswith(IMAGE_ENDINGS) for name in os.listdir(path)):
        return [path]
    why = "".join(f"; {note}" for note in notes_on(tree)[:1])
    raise InputError(f"folder {path} has no videos in it{why}; give videos, or a folder of them")


def notes_on(tree: Tree, class_depth: int = 0) -> list[str]:
    """Return a line on files that were left out, and one on class folders without a video, where there are any.

    Args:
        tree: of a folder of class folders.
        class_depth: how many folders a class folder lies in: 1 below ``train`` and ``val``.
    """
    notes = []
    if tree.left_out:
        files = counted(tree.left_out.total(), "file")
        notes.append(f"left out: {files} without a video's ending ({_endings(tree.left_out)})")

    empty = [path for path in tree.empty if path.count("/") == class_depth]
    if empty:
        notes.append(f"left out: {counted(len(empty), 'class folder')} without a video ({some(empty)})")
    return notes


def _endings(counts: Mapping[str, int]) -> str:
    """Return ``.txt 3, .srt 1``, the most frequent first."""
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return some([f"{ending or 'no ending'} {count}" for ending, count in ordered])


class _Found(NamedTuple):
    """What lies below a folder, by its path from the top."""

    files: list[str]
    frames: list[str]
    left_out: Counter[str]
    empty: list[str]


def _animations(folder: str, names: list[str]) -> set[str]:
    """Return the names of animated WebPs; where the first ``.webp`` is a picture, all of them are taken for frames."""
    pictures = sorted(name for name in names if _ending(name) == WEBP_ENDING)
    if not pictures or not is_animated_webp(os.path.join(folder, pictures[0])):
        return set()
    return {name for name in pictures if is_animated_webp(os.path.join(folder, name))}


def _walk(root: str, inside: str, beside_video: bool, around: frozenset[tuple[int, int]]) -> _Found:
    """Search below ``inside``, which is "" or ends with a slash.

    ``around`` tells the folders that it lies in, so that a circle of links has an end.
    """
    here = os.path.join(root, inside)
    status = os.stat(here)
    if (status.st_dev, status.st_ino) in around:
        return _Found([], [], Counter(), [])
    around |= {(status.st_dev, status.st_ino)}
    with os.scandir(here) as entries:
        shown = [(entry.name, entry.is_dir()) for entry in entries if entry.name[0] != "."]
    folders = [name for name, is_folder in shown if is_folder]
    names = [name for name, is_folder in shown if not is_folder]

    videos = {name for name in names if is_video(name)} | _animations(here, names)
    files = [inside + name for name in names if name in videos]
    left_out = Counter(_ending(name) for name in names if name not in videos)
    beside_video |= bool(inside and files)
    frames: list[str] = []
    empty: list[str] = []
    for name in folders:
        below = _walk(root, f"{inside}{name}/", beside_video, around)
        files += below.files
        frames += below.frames
        left_out += below.left_out
        empty += below.empty

    if not _RGB_FOLDERS.isdisjoint(map(str.lower, folders)):
        flow = {inside + name for name in folders if name.lower() in _FLOW_FOLDERS}
        frames = [path for path in frames if path not in flow]
    if inside and not files and not beside_video and any(name.lower().endswith(IMAGE_ENDINGS) for name in names):
        # All that is below belongs to the frames.
        return _Found([], [inside.removesuffix("/")], Counter(), [])
    if inside and not files and not frames:
        empty = [inside.removesuffix("/")]
    return _Found(files, frames, left_out, empty)


def _ending(name: str) -> str:
    return os.path.splitext(name)[1].lower()
