"""What a video reader is, and the error of an unreadable video.

Presentation, the same whichever decoder reads: frame ``i`` is the i-th frame that a full sequential decode shows.
Frames are turned and mirrored as the first one says: by the container's display matrix, or, where that has none, by the
display orientation message of H.264 and HEVC. A matrix that turns by another angle than quarter turns is not applied.
Frames that an edit list discards neither count nor appear; a variable frame rate changes nothing, an index is a frame
number (segments in seconds follow the frames' times); the pixel aspect ratio is NOT applied, pixels come as stored.

Colours are those of ``ffmpeg -f rawvideo -pix_fmt rgb24``: PyAV was equal to it in every pixel on 60 files of all
common pixel formats, odd sizes, interlaced ones and up to 16 bits; TorchCodec too but for 16-bit RGB (0.1 levels in the
mean). decord reads what is within 1 level of PyAV, which leaves out more than 8 bits. High dynamic range (PQ, HLG) is
not mapped to the standard one, and fields are not taken apart.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch


class VideoReader(ABC):
    """An open video; use it as a context manager. Not to be shared between threads.

    Attributes:
        num_frames: frames that a full decode shows, at least 1.
        fps: average frames per second, above 0; 1.0 for a single frame whose header names no rate.
        height, width: size of the frames as shown, after rotation.
        counted: the file does not say which frames it shows; opening it decoded it once to learn them.
        times: float64 ``[num_frames]``, seconds of each frame from the first; None where the rate is even, i / fps.
    """

    num_frames: int
    fps: float
    times: np.ndarray | None = None
    height: int
    width: int
    counted: bool = False

    @abstractmethod
    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """The frames at ``indices`` (any order, repeats allowed), RGB, uint8 ``[T, height, width, 3]``.

        Raises:
            ValueError: an index is outside ``[0, num_frames)``.
            DecodeError: a frame asked for cannot be decoded; no other frame takes its place.
        """

    @abstractmethod
    def close(self) -> None:
        """Frees the file; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()


def check_indices(indices: Sequence[int] | torch.Tensor | np.ndarray, num_frames: int) -> np.ndarray:
    """``indices`` as int64 ``[T]``; ValueError names the first one outside ``[0, num_frames)``."""
    array = np.asarray(indices)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"frame indices must be whole numbers [T], got {array.dtype} {list(array.shape)}")
    array = array.astype(np.int64)
    outside = array[(array < 0) | (array >= num_frames)]
    if outside.size:
        raise ValueError(f"frame index {outside[0]} is out of range: the video has num_frames={num_frames}")
    return array
