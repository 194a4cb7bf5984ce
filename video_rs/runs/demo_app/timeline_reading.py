"""The frames for a timeline of a video that only a worker process may open.

The timeline is made where the network is, and asks the worker for the frames that it needs, some hundreds at a time and
already cropped. A video as a whole would be gigabytes in one message. In parts, neither process holds more of it than
one of them, each part has its time limit, and other visitors' videos have their turns between two parts.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from video_rs.data.preprocessing import ClipSpec, Preprocessing
from video_rs.inference.timeline.making import Footage
from video_rs.inference.timeline.reading import CHUNK_FRAMES, FrameSource, FrameStream, Unread
from video_rs.inference.timeline.settings import TimelineSettings
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.video import VideoReader

PART_FRAMES = 16 * CHUNK_FRAMES
"""Frames in a message: 37 MiB where crops have 224 x 224 pixels."""
MOST_STEPS = 300
"""Windows of a timeline, but for the first and the last one: as many passes of the network may one visitor ask for."""
MOST_SECONDS = 600.0
"""For one timeline, with all waiting: a video made to be slow holds the worker no longer."""


def read_footage(reader: VideoReader, preprocessing: Preprocessing, record: VideoRecord) -> Footage:
    """Return what a timeline needs to know first."""
    return Footage.of(reader, record)


@dataclass(frozen=True)
class FramesReading:
    """Reads frames in a worker process.

    Attributes:
        numbers: of the frames, rising.
    """

    numbers: tuple[int, ...]

    def __call__(
        self, reader: VideoReader, preprocessing: Preprocessing, record: VideoRecord
    ) -> tuple[list[Tensor | None], Unread]:
        """Return the centre crop of each frame, uint8 ``[3, crop, crop]``, or None where it cannot be decoded."""
        transform = replace(preprocessing.transform, num_crops=1)
        stream = FrameStream(reader, transform)

        crops = []
        for _, frame in stream.frames(self.numbers):
            if frame is not None:
                (crop,) = transform.crops(frame.unsqueeze(1))
                # A copy: of a very wide video, the rest of the frame would fill the memory.
                frame = crop.squeeze(1).clone()
            crops.append(frame)

        return crops, stream.unread


@dataclass
class FramesFromWorker(FrameSource):
    """The centre crops of the frames of a video, which are asked for part by part.

    Attributes:
        read: does a reading of the video in a worker process.
        unread: what could not be read so far.
    """

    read: Callable[[FramesReading], Any]
    unread: Unread = field(default_factory=Unread)

    def frames(self, numbers: Iterable[int]) -> Iterator[tuple[int, Tensor | None]]:
        """Yield each frame with its number.

        Raises:
            InputError: the worker cannot read the video, or it takes too long.
            Busy: too many videos wait.
        """
        began = time.monotonic()
        numbers = iter(numbers)

        while part := tuple(itertools.islice(numbers, PART_FRAMES)):
            if time.monotonic() - began > MOST_SECONDS:
                raise InputError(f"its timeline is not made within {MOST_SECONDS:g} s")

            crops, unread = self.read(FramesReading(part))
            self.unread.frames += unread.frames
            if not self.unread.reason:
                self.unread.reason = unread.reason
            yield from zip(part, crops, strict=True)


def settings_for(footage: Footage, clip: ClipSpec) -> TimelineSettings:
    """Return the usual settings, with larger steps where a video would have very many windows."""
    usual, _ = TimelineSettings().steps(clip, footage.span.fps)
    return TimelineSettings(stride=max(usual, footage.span.seconds / MOST_STEPS))
