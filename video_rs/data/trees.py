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
_FLOW_FOLDERS = frozenset(("flow", "flow_x", "flow_y", "flow_u", "flow_v"))
_RGB_FOLDERS = frozenset(("rgb", "img", "images", "frames"))


def is_video(name: str) -> bool:
    """Whether a name ends like a video's."""
    return os.path.splitext(name)[1].lower() in VIDEO_EXTENSIONS


def find_videos(folder: str) -> list[str]:
    """Paths of all videos below ``folder``, relative to it, sorted. Hidden names are skipped, links are followed.

    A video is told by its name's ending. A folder with pictures is one, too, with all that is below it, unless a video
    file is in it, below it, or beside it or a folder around it (but at the top): then they may be thumbnails. Optical
    flow (``flow_x``) beside the frames (``rgb``, ``img``) is no video.

    Raises:
        InputError: a folder that is not there or cannot be read.
    """
    if not os.path.isdir(folder):
        raise InputError(f"{folder} is not a folder; give the folder that holds the videos")
    try:
        files, frames = _walk(folder, "", False, frozenset())
    except OSError as error:
        raise InputError(
            f"cannot read {error.filename} ({error.strerror}); make it readable or move it away"
        ) from error
    return sorted(files + frames)


def _walk(root: str, inside: str, beside_video: bool, around: frozenset[tuple[int, int]]) -> tuple[list, list]:
    """Video files and folders of frames below ``inside``, which is "" or ends with a slash.

    ``around`` tells the folders that it lies in, so that a circle of links has an end.
    """
    here = os.path.join(root, inside)
    status = os.stat(here)
    if (status.st_dev, status.st_ino) in around:
        return [], []
    around |= {(status.st_dev, status.st_ino)}
    with os.scandir(here) as entries:
        shown = [(entry.name, entry.is_dir()) for entry in entries if entry.name[0] != "."]
    folders = [name for name, is_folder in shown if is_folder]
    names = [name for name, is_folder in shown if not is_folder]
    files = [inside + name for name in names if is_video(name)]
    beside_video |= bool(inside and files)
    frames: list[str] = []
    for name in folders:
        more_files, more_frames = _walk(root, f"{inside}{name}/", beside_video, around)
        files += more_files
        frames += more_frames
    if not _RGB_FOLDERS.isdisjoint(map(str.lower, folders)):
        flow = {inside + name for name in folders if name.lower() in _FLOW_FOLDERS}
        frames = [path for path in frames if path not in flow]
    if inside and not files and not beside_video and any(name.lower().endswith(IMAGE_ENDINGS) for name in names):
        frames = [inside.removesuffix("/")]
    return files, frames
