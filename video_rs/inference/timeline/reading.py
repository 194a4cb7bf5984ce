"""The clips of windows from one pass over a video: each frame is decoded once, resized once, and held while needed."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from video_rs.data.eval_transform import EvalTransform
from video_rs.inference.timeline.windows import Window, needed_frames
from video_rs.video import DecodeError, VideoReader

CHUNK_FRAMES = 16
"""Frames decoded at a time. Where one of them is damaged, all of them count as unread."""
CHUNK_BYTES = 2**26
"""Bytes of frames decoded at a time, at most, unless a single frame has more."""


@dataclass
class Unread:
    """What could not be read of a video.

    Attributes:
        frames: how many frames that windows need.
        reason: of the first of them, "" where all were read.
    """

    frames: int = 0
    reason: str = ""


class FrameSource(ABC):
    """Where the frames of windows come from.

    Attributes:
        unread: what could not be read so far.
    """

    unread: Unread

    @abstractmethod
    def frames(self, numbers: Iterable[int]) -> Iterator[tuple[int, Tensor | None]]:
        """Yield each frame with its number, resized: uint8 ``[3, h, w]``, or None where it cannot be decoded.

        Args:
            numbers: of frames, rising.
        """

    def clips(self, windows: Iterable[Window]) -> Iterator[tuple[Window, Tensor | None]]:
        """Yield each window with its clip, uint8 ``[3, T, h, w]``, or None where one of its frames cannot be decoded.

        Args:
            windows: as often as they are iterated over, in the order of their first frames.
        """
        arriving = self.frames(needed_frames(windows))
        held: dict[int, Tensor | None] = {}
        latest = -1

        for window in windows:
            # No window that comes needs a frame before the first one of this window.
            first = int(window.frames.min())
            passed = [number for number in held if number < first]
            for number in passed:
                del held[number]

            last = int(window.frames.max())
            while latest < last:
                latest, frame = next(arriving)
                held[latest] = frame

            frames = [held[number] for number in window.frames.tolist()]
            yield window, _clip(frames)


@dataclass
class FrameStream(FrameSource):
    """The frames of an open video.

    Attributes:
        reader: an open video.
        transform: resizes the frames.
        unread: what could not be read so far.
    """

    reader: VideoReader
    transform: EvalTransform
    unread: Unread = field(default_factory=Unread)

    def frames(self, numbers: Iterable[int]) -> Iterator[tuple[int, Tensor | None]]:
        """Yield each frame with its number; see :meth:`FrameSource.frames`."""
        frame_bytes = self.reader.height * self.reader.width * 3
        at_once = min(CHUNK_FRAMES, max(1, CHUNK_BYTES // frame_bytes))
        numbers = iter(numbers)

        while chunk := list(itertools.islice(numbers, at_once)):
            resized = self._resized(chunk)
            for place, number in enumerate(chunk):
                frame = None
                if resized is not None:
                    # A copy: a view would keep the whole chunk in memory.
                    frame = resized[:, place].clone()
                yield number, frame

    def _resized(self, numbers: list[int]) -> Tensor | None:
        """Return frames uint8 ``[3, N, h, w]``, or None where one of them cannot be decoded."""
        try:
            decoded = self.reader.next_frames(numbers)
        except DecodeError as error:
            self.unread.frames += len(numbers)
            if not self.unread.reason:
                self.unread.reason = error.reason
            return None

        return self.transform.resize(decoded)


def _clip(frames: list[Tensor | None]) -> Tensor | None:
    """Return frames uint8 ``[3, h, w]`` as a clip ``[3, T, h, w]``; None where one of them is missing."""
    if any(frame is None for frame in frames):
        return None
    return torch.stack(frames, dim=1)
