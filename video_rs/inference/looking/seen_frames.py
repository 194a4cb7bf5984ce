"""What a network sees of a video, and where and when that is in the video."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor

from video_rs.data.dataset import VideoViews, read_views, record_span
from video_rs.data.preprocessing import Preprocessing
from video_rs.lists.records import VideoRecord
from video_rs.video import VideoReader


class Box(NamedTuple):
    """A rectangle in pixels from the top left corner of a frame; right and bottom are just outside."""

    left: float
    top: float
    right: float
    bottom: float


class Region(NamedTuple):
    """The part of the resized frames that the crops cover, in whole pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class SeenFrames:
    """The frames that some view of a video shows.

    Attributes:
        views: of the video; they hold the frames, resized and not cropped.
        numbers: int64 ``[N]``, of these frames in the video, rising.
        times: float64 ``[N]``, seconds of them from the video's first frame.
        height, width: of the original frames, as shown.
    """

    views: VideoViews
    numbers: Tensor
    times: np.ndarray
    height: int
    width: int

    def corners(self) -> list[tuple[int, int]]:
        """Return top and left of each crop of the resized frames."""
        return self.views.transform.corners(*self.views.frames.shape[2:])

    def region(self) -> Region:
        """Return the smallest rectangle of the resized frames that holds all crops."""
        size = self.views.transform.crop_size
        tops, lefts = zip(*self.corners(), strict=True)
        return Region(min(tops), min(lefts), max(tops) - min(tops) + size, max(lefts) - min(lefts) + size)

    def pictures(self) -> Tensor:
        """Return the region of each frame, uint8 ``[N, h, w, 3]``."""
        top, left, height, width = self.region()
        cut = self.views.frames[:, :, top : top + height, left : left + width]
        return cut.permute(1, 2, 3, 0)

    def box(self) -> Box:
        """Return where the region lies in the original frames."""
        resized_height, resized_width = self.views.frames.shape[2:]
        across = self.width / resized_width
        down = self.height / resized_height
        top, left, height, width = self.region()
        return Box(left * across, top * down, (left + width) * across, (top + height) * down)


def read_seen(reader: VideoReader, preprocessing: Preprocessing, record: VideoRecord) -> SeenFrames:
    """Read what testing and predicting show a network of a video.

    Args:
        reader: of the video.
        preprocessing: its views.
        record: the video, or a segment of it.

    Raises:
        DecodeError: a frame cannot be decoded, or the video has none of the segment.
    """
    frames, clips = read_views(reader, preprocessing, record)
    views = VideoViews(
        0, record.id, record.path, record.labels, frames=frames, clips=clips, transform=preprocessing.transform
    )

    # The same frames that have just been read, by their numbers in the video.
    numbers = preprocessing.clip.uniform(record_span(reader, record), preprocessing.num_clips).unique()
    times = numbers.numpy() / reader.fps
    if reader.times is not None:
        times = reader.times[numbers.numpy()]
    return SeenFrames(views, numbers, times, reader.height, reader.width)
