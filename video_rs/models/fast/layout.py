"""How maps lie in memory, and when the fast ways to compute them apply.

Every map is float ``[B, C, T, H, W]``.
"""

import torch
from torch import Tensor

from video_rs.models.recording import is_recorded

CHANNELS_LAST = torch.channels_last_3d


def shows_frames_as_images(x: Tensor) -> bool:
    """Return whether frames can be seen as images without a copy, in a pass that nothing records."""
    return not is_recorded() and x.is_contiguous(memory_format=CHANNELS_LAST)


def may_need_gradients_on_cpu(x: Tensor) -> bool:
    """Return whether what is computed from ``x`` may need a backward pass on a CPU, which may be our own there.

    Whether ``x`` or a weight requires a gradient is not asked: where none does, our forward passes cost the same.
    """
    return x.device.type == "cpu" and torch.is_grad_enabled() and not is_recorded()


def in_default_layout(x: Tensor) -> Tensor:
    """Return ``x`` in PyTorch's default memory format."""
    if x.is_contiguous():
        return x

    # Clip by clip, as PyTorch transposes nothing but matrices fast.
    copy = torch.empty_like(x, memory_format=torch.contiguous_format)
    for source, target in zip(x, copy, strict=True):
        cells_by_channels = source.permute(1, 2, 3, 0).flatten(0, 2)  # [C, T, H, W] -> [T*H*W, C]
        target.flatten(1).copy_(cells_by_channels.t())
    return copy
