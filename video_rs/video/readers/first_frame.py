"""What the first frame of a video says of all of them, kept in memory: a clip of a known file needs no look at it."""

from typing import NamedTuple, Self

import av

from video_rs.video.file_memory import FileMemory
from video_rs.video.orientation import Orientation, frame_orientation, other_angle

# Files of which the first frame is remembered: 0.5 kB each.
MOST_FILES = 100_000


class FirstFrame(NamedTuple):
    """What a reader takes from the first frame.

    Attributes:
        orientation: how the frames are turned and mirrored.
        other_angle: degrees of a turn that is not applied, because it is no multiple of 90; else 0.
        bits: bits of a stored sample.
        transfer: FFmpeg's number of the transfer characteristic.
        interlaced: whether it holds two fields.
        height, width: in pixels, as shown.
    """

    orientation: Orientation
    other_angle: float
    bits: int
    transfer: int
    interlaced: bool
    height: int
    width: int

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Self:
        """Return what a decoded frame says."""
        orientation = frame_orientation(frame)
        height, width = orientation.shown_size(frame.height, frame.width)
        return cls(
            orientation=orientation,
            other_angle=other_angle(frame),
            bits=max(component.bits for component in frame.format.components),
            transfer=frame.color_trc,
            interlaced=frame.interlaced_frame,
            height=height,
            width=width,
        )


known_first_frames: FileMemory[FirstFrame] = FileMemory(MOST_FILES, size_of=lambda _: 1)
"""The first frames of the streams that are read of the files that this process has opened."""
