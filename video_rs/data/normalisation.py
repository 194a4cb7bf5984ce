"""Clips as the network takes them: bytes become floats on its device, and are normalised."""

from collections.abc import Sequence

import torch
from torch import Tensor

from video_rs.data.arguments import require


def to_float(
    clips: Tensor,
    mean: Sequence[float] = (0.0, 0.0, 0.0),
    std: Sequence[float] = (1.0, 1.0, 1.0),
    dtype: torch.dtype = torch.float32,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Return ``(clips / 255 - mean) / std``, on the device of the clips.

    The defaults are the published [0, 1].

    Args:
        clips: uint8 ``[B, 3, T, H, W]``.
        mean, std: per channel, after scaling to [0, 1].
        dtype: of the result, which is computed in float32 and rounded once.
        memory_format: of the result.
    """
    require(clips.dtype == torch.uint8, "clips", clips.dtype, "torch.uint8, as the transforms give")
    require(len(mean) == len(std) == 3 and min(std) > 0, "mean, std", (mean, std), "3 values each, std above 0")

    scaled = clips.to(torch.float32, memory_format=memory_format).div_(255)
    if any(mean):
        scaled.sub_(scaled.new_tensor(mean).view(3, 1, 1, 1))
    if any(value != 1 for value in std):
        scaled.div_(scaled.new_tensor(std).view(3, 1, 1, 1))
    return scaled.to(dtype)
