"""What the copy of a video will be: its frames, their times, and its size."""

import os
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from video_rs.video import open_video
from video_rs.video.container import open_container, single_threaded_stream
from video_rs.video.index.frame_index import FrameIndex, index_of_pictures
from video_rs.video.index.packet_scan import scan
from video_rs.video.location import check_file
from video_rs.video.orientation import AS_STORED, Orientation
from video_rs.video.readers.pyav import PyAVReader
from video_rs.video.readers.webp import is_animated_webp


@dataclass(frozen=True)
class CopyPlan:
    """What the copy of ``source`` will be.

    Attributes:
        source: path of a file, a part of a shard, or a folder of frames.
        index: of the source's frames.
        orientation: how the source's frames have to be turned to be as shown.
        has_matrix: whether the source has a display matrix that is not the identity.
        height, width: of the copy in pixels, even.
        aspect: of the copy's pixels, width over height.
    """

    source: str
    index: FrameIndex
    orientation: Orientation
    has_matrix: bool
    height: int
    width: int
    aspect: Fraction

    @property
    def times(self) -> np.ndarray:
        """When each frame is shown, int64 ``[N]`` in units of ``time_base``, from 0."""
        return self.index.pts - self.index.pts[0]

    @property
    def time_base(self) -> Fraction:
        """Seconds."""
        return self.index.time_base

    @property
    def has_pictures(self) -> bool:
        """Whether the source is a folder of frames or an animated WebP, which no decoder of videos reads."""
        return os.path.isdir(self.source) or is_animated_webp(self.source)


def plan_copy(source: str, short_side: int) -> CopyPlan:
    """Return the plan of a copy.

    Args:
        source: path of a file, a part of a shard, or a folder of frames.
        short_side: of the copy in pixels, even.

    Raises:
        DecodeError: the source cannot be read.
    """
    if os.path.isdir(source):
        return _plan_of_pictures(source, short_side)
    check_file(source)
    if is_animated_webp(source):
        return _plan_of_pictures(source, short_side)

    index = scan(source)
    with PyAVReader(source, index) as reader:
        orientation = reader.orientation
        has_matrix = orientation != AS_STORED or reader.other_angle != 0
        height, width = shrunk(reader.height, reader.width, short_side)

    # The aspect of pixels that a video is shown with; a turn makes wide pixels high.
    with open_container(source) as container:
        aspect = single_threaded_stream(container, index.stream).sample_aspect_ratio or Fraction(1)
    if orientation.swaps_sides:
        aspect = 1 / aspect
    return CopyPlan(source, index, orientation, has_matrix, height, width, aspect)


def _plan_of_pictures(source: str, short_side: int) -> CopyPlan:
    """Return the plan of a copy of a folder of frames or of an animated WebP."""
    with open_video(source) as reader:
        count = reader.num_frames
        fps = reader.fps
        times = reader.times
        height, width = shrunk(reader.height, reader.width, short_side)

    if times is None:
        time_base = 1 / Fraction(fps).limit_denominator(1001)
        pts = np.arange(count)
    else:
        time_base = Fraction(1, 1000)
        pts = np.round(times * 1000).astype(np.int64)
    key = np.ones(count, bool)  # each picture is decoded by itself
    index = index_of_pictures(pts, key, time_base, fps)
    return CopyPlan(source, index, AS_STORED, False, height, width, Fraction(1))


def shrunk(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return the nearest even size with that short side and about the same aspect, as (height, width).

    No side becomes longer than it was, and none shorter than 2 pixels.
    """
    factor = min(1.0, short_side / min(height, width))
    return _even_side(height, factor), _even_side(width, factor)


def _even_side(side: int, factor: float) -> int:
    """Return an even length near ``side * factor``, at most ``side`` and at least 2."""
    nearest = 2 * round(side * factor / 2)
    longest = side // 2 * 2
    return max(2, min(nearest, longest))
