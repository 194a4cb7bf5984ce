"""What a video reader is.

All readers present a video alike. Frame ``i`` is the i-th frame that a full sequential decode shows:

- Frames are turned and mirrored as the first frame says: by the container's display matrix or, where the container has
  none, by the display orientation message of H.264 and HEVC. A matrix that turns by another angle than quarter turns
  is not applied.
- Frames that an edit list discards neither count nor appear.
- An index is a frame number whatever the frame rate does. Segments in seconds follow the times of the frames.
- The pixel aspect ratio is NOT applied: pixels come as stored.

Colours are those of ``ffmpeg -f rawvideo -pix_fmt rgb24``. On 60 files of all common pixel formats, odd sizes,
interlaced frames and up to 16 bits, PyAV was equal to the program in every pixel. TorchCodec was equal too, but for
16-bit RGB (0.1 levels in the mean). decord reads only files on which it is within 1 level of PyAV, which excludes those
of more than 8 bits. High dynamic range (PQ, HLG) is not mapped to the standard range, and the two fields of an
interlaced frame are not taken apart.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
import torch


class Box(NamedTuple):
    """A part of a frame as shown, in pixels; it has at least one, and lies inside the frame."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return what the box shows of pixels ``[..., H, W, 3]``, without a copy."""
        return pixels[..., self.top : self.top + self.height, self.left : self.left + self.width, :]


class VideoReader(ABC):
    """An open video, to be used as a context manager and by one thread.

    Attributes:
        num_frames: number of frames that a full decode shows, at least 1.
        fps: average frames per second, above 0; 1.0 for a single frame whose header names no rate.
        height, width: size in pixels of the frames as shown, after rotation.
        counted: whether opening the file decoded it once, because the file does not say which frames it shows.
        times: float64 ``[num_frames]``, seconds of each frame from the first; None where frame i is at i / fps.
    """

    num_frames: int
    fps: float
    times: np.ndarray | None = None
    height: int
    width: int
    counted: bool = False

    @abstractmethod
    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the frames at ``indices``, in RGB.

        Args:
            indices: T frame numbers in any order; repeats are allowed.

        Returns:
            uint8 ``[T, height, width, 3]``.

        Raises:
            ValueError: an index is outside ``[0, num_frames)``.
            DecodeError: a frame that was asked for cannot be decoded; no other frame takes its place.
        """

    def boxes(self, indices: Sequence[int] | torch.Tensor | np.ndarray, box: Box) -> torch.Tensor:
        """Return what ``box`` shows of the frames at ``indices``, uint8 ``[T, h, w, 3]``, of any strides.

        These are the pixels that :meth:`frames` gives. A reader that can leave out the others does so.
        """
        return box.cut(self.frames(indices))

    def next_frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the frames at ``indices`` as :meth:`frames` does, for a caller that reads a long video in order.

        A reader that can decode on from where it is does so, whatever lies between, in the place of a seek.
        """
        return self.frames(indices)

    @abstractmethod
    def close(self) -> None:
        """Free the file; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()


def check_indices(indices: Sequence[int] | torch.Tensor | np.ndarray, num_frames: int) -> np.ndarray:
    """Return ``indices`` as int64 ``[T]``.

    Raises:
        ValueError: the indices are no whole numbers in one row, or one is outside ``[0, num_frames)``.
    """
    array = np.asarray(indices)

    # An empty list becomes an array of floats, which is no mistake of the caller.
    are_whole = array.size == 0 or array.dtype.kind in "iu"
    if array.ndim != 1 or not are_whole:
        raise ValueError(f"frame indices must be whole numbers [T], got {array.dtype} {list(array.shape)}")

    array = array.astype(np.int64)
    outside = array[(array < 0) | (array >= num_frames)]
    if outside.size:
        raise ValueError(f"frame index {outside[0]} is out of range: the video has num_frames={num_frames}")
    return array


def frames_with_slots(indices: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each frame that is asked for once, in rising order, with its places in the result.

    Args:
        indices: int64 ``[T]``, frame numbers in any order.

    Yields:
        A frame number, and int64 ``[S]``, the places in ``indices`` where it stands.
    """
    wanted, place_of_index = np.unique(indices, return_inverse=True)
    for place, frame in enumerate(wanted.tolist()):
        yield frame, np.flatnonzero(place_of_index == place)
