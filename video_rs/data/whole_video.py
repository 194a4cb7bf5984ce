"""A video as one pass over it sees it: all of its frames, in order, part by part."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from video_rs.data.eval_transform import EvalTransform
from video_rs.data.resized_frames import resized_frames
from video_rs.video import VideoReader

HELD_BYTES = 2**28
"""Of resized frames: a longer video is read while it is answered."""


@dataclass(frozen=True)
class WholeVideo:
    """A video that is answered as a whole.

    Attributes:
        index, id: the record's position in its list, and its id.
        video: path.
        labels: classes; none where they are not known.
        numbers: which frames of the video they are, int64 ``[N]``; a short video's may come again.
        transform: resizes them.
        open: opens the video again.
        counted: the whole video was decoded to count its frames.
        frames: uint8 ``[3, N, h, w]``; None where they are more than :data:`HELD_BYTES`.
    """

    index: int
    id: str
    video: str
    labels: tuple[int, ...]
    numbers: Tensor
    transform: EvalTransform
    open: Callable[[str], VideoReader]
    counted: bool = False
    frames: Tensor | None = None

    error = None

    def with_frames(self, reader: VideoReader) -> Self:
        """Return the same with its frames, unless they are too many to be held."""
        height, width = self.transform.resized(reader.height, reader.width)
        if 3 * len(self.numbers) * height * width > HELD_BYTES:
            return self
        return replace(self, frames=self._read(reader, self.numbers))

    @property
    def counted_videos(self) -> list[str]:
        """The path of this video if its frames were counted, else nothing."""
        if self.counted:
            return [self.video]
        return []

    def parts(self, bounds: Iterable[tuple[int, int]]) -> Iterator[Tensor]:
        """Yield whole frames from the first to before the last of each part, uint8 ``[3, n, h, w]``.

        Raises:
            DecodeError: the video cannot be read any more.
        """
        if self.frames is not None:
            for first, last in bounds:
                yield self.transform.whole(self.frames[:, first:last])
            return

        with self.open(self.video) as reader:
            for first, last in bounds:
                yield self.transform.whole(self._read(reader, self.numbers[first:last]))

    def _read(self, reader: VideoReader, numbers: Tensor) -> Tensor:
        """Return frames of the open video, uint8 ``[3, n, h, w]``, each decoded once."""
        needed, places = torch.unique(numbers, return_inverse=True)
        frames = resized_frames(reader, needed, self.transform)
        if torch.equal(needed, numbers):
            return frames
        return frames[:, places]
