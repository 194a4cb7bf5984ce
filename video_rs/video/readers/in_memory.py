"""Frames that are in memory already, read like a video."""

from collections.abc import Sequence

import numpy as np
import torch

from video_rs.runtime.errors import InputError
from video_rs.video.reader import VideoReader, check_indices

DEFAULT_FPS = 30.0  # frames say nothing of time


class InMemoryReader(VideoReader):
    """A :class:`VideoReader` over frames.

    Args:
        frames: RGB, uint8 ``[T, H, W, 3]``, an array or a tensor.
        fps: frames per second.

    Raises:
        InputError: another dtype or shape, or no frame.
    """

    def __init__(self, frames: np.ndarray | torch.Tensor, fps: float = DEFAULT_FPS):
        self._frames = checked_frames(frames)
        if not fps > 0:
            raise InputError(f"fps: got {fps}, allowed: above 0 (frames per second)")
        self.num_frames, self.height, self.width = self._frames.shape[:3]
        self.fps = float(fps)

    def frames(self, indices: Sequence[int] | torch.Tensor | np.ndarray) -> torch.Tensor:
        """See :meth:`VideoReader.frames`."""
        return self._frames[check_indices(indices, self.num_frames)]

    def close(self) -> None:
        """Nothing is open."""


def checked_frames(frames: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Return the frames as a tensor on the CPU: uint8 ``[T, H, W, 3]``.

    Raises:
        InputError: another dtype or shape, or no frame.
    """
    shape, dtype = list(frames.shape), str(frames.dtype).removeprefix("torch.")
    if dtype == "uint8" and len(shape) == 4 and shape[3] == 3 and 0 not in shape:
        # A copy where the array's memory runs backwards or is read-only, which tensors cannot have.
        return frames.cpu() if isinstance(frames, torch.Tensor) else torch.from_numpy(np.array(frames))

    hint = "give RGB frames as they are decoded, 0 to 255"
    if dtype != "uint8" and len(shape) == 4 and shape[3] == 3:
        hint = "if they are 0 to 1, take (255 * frames).round() as uint8"
    if len(shape) == 4 and 3 in (shape[0], shape[1]) and shape[3] != 3:
        axes = "1, 2, 3, 0" if shape[0] == 3 else "0, 2, 3, 1"
        hint = f"put the colours last: permute({axes}) of a tensor, transpose({axes}) of an array"
    raise InputError(f"frames: got {dtype} {shape}, expected uint8 [T, H, W, 3] with at least one frame; {hint}")
