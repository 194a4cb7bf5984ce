"""Giving decoded frames their number in the video, by the packets of which the decoder made them."""

from collections.abc import Iterator

import av
import numpy as np

from video_rs.video.index.frame_index import FrameIndex

NO_FRAME = -1
"""The frame number of a packet that shows nothing."""


class FrameNumbering:
    """Which frame of the video each packet makes."""

    def __init__(self, index: FrameIndex):
        self._frames = np.full(index.packets.max() + 1, NO_FRAME)
        # A packet may make several frames. The numbers are assigned backwards, so that the first one stays.
        self._frames[index.packets[::-1]] = np.arange(len(index.packets))[::-1]
        self.reset()

    def reset(self) -> None:
        """Forget the frames that came, because decoding goes on elsewhere."""
        self._latest = NO_FRAME
        self._repeats = 0

    def frame_of(self, packet: int) -> int:
        """Return the number of the first frame that a packet makes, or ``NO_FRAME``."""
        if packet >= len(self._frames):
            return NO_FRAME
        return int(self._frames[packet])

    def number(self, frames: list[av.VideoFrame]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield each decoded frame with its number; frames that the video does not show are left out.

        Args:
            frames: from :meth:`NumberedPackets.decode`, in the order in which the decoder gives them.
        """
        for frame in frames:
            first = self.frame_of(frame.pts)
            if first == self._latest:
                self._repeats += 1
            else:
                self._repeats = 0
            self._latest = first

            if first != NO_FRAME:
                yield first + self._repeats, frame
