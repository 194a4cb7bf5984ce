"""Frames that are in memory already, read like a video."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from video_rs.runtime.errors import InputError
from video_rs.video.reader import VideoReader, check_indices

DEFAULT_FPS = 30.0
"""Frames per second where nobody says: frames in memory have no times."""


class InMemoryReader(VideoReader):
    """A :class:`VideoReader` over frames in memory.

    Args:
        frames: RGB, uint8 ``[T, H, W, 3]``, an array or a tensor.
        fps: frames per second.

    Raises:
        InputError: the frames have another dtype or shape, or there is none, or the rate is not above 0.
    """

    def __init__(self, frames: np.ndarray | torch.Tensor, fps: float = DEFAULT_FPS):
        self._frames = _checked_frames(frames)
        if not (math.isfinite(fps) and fps > 0):
            raise InputError(f"fps: got {fps}, allowed: above 0, finite (frames per second)")
        self.num_frames, self.height, self.width = self._frames.shape[:3]
        self.fps = float(fps)

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return the frames; see :meth:`VideoReader.frames`."""
        return self._frames[check_indices(indices, self.num_frames)]

    def close(self) -> None:
        """Do nothing, since nothing is open."""


def _checked_frames(frames: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Return the frames as a tensor in main memory: uint8 ``[T, H, W, 3]``.

    Raises:
        InputError: another dtype or shape, or no frame.
    """
    shape = list(frames.shape)
    dtype = str(frames.dtype).removeprefix("torch.")
    has_colours_last = len(shape) == 4 and shape[3] == 3
    if dtype == "uint8" and has_colours_last and 0 not in shape:
        if isinstance(frames, torch.Tensor):
            return frames.cpu()
        # An array is copied: its memory may run backwards or be read-only, which a tensor's cannot.
        return torch.from_numpy(np.array(frames))

    hint = "give RGB frames as they are decoded, 0 to 255"
    if dtype != "uint8" and has_colours_last:
        hint = "if they are 0 to 1, take (255 * frames).round() as uint8"
    elif len(shape) == 4 and 3 in (shape[0], shape[1]) and not has_colours_last:
        axes = "1, 2, 3, 0" if shape[0] == 3 else "0, 2, 3, 1"
        hint = f"put the colours last: permute({axes}) of a tensor, transpose({axes}) of an array"
    raise InputError(f"frames: got {dtype} {shape}, expected uint8 [T, H, W, 3] with at least one frame; {hint}")
