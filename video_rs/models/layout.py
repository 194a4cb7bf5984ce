"""How maps lie in memory, and who may know: eager runs see frames as images, recorded graphs stay plain 3D ones.

Every map is float ``[B, C, T, H, W]``.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor

_plain = False


@contextlib.contextmanager
def plain_graph() -> Iterator[None]:
    """Inside, networks run as compilers and exporters see them: 3D operators in the layout that the clips have."""
    global _plain
    before, _plain = _plain, True
    try:
        yield
    finally:
        _plain = before


def is_recorded() -> bool:
    """Whether a compiler, an exporter or a tracer is recording."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def is_captured() -> bool:
    """Whether something is recording, or would be: the graph stays a plain 3D one, of any size."""
    return _plain or is_recorded()


def may_need_gradients_on_cpu(x: Tensor) -> bool:
    """Whether what is computed from ``x`` may need a backward pass, and that one may be our own.

    It does not ask whether ``x`` or a weight requires a gradient: where none does, our forward passes cost the same.
    """
    plain = is_captured() or not torch.is_grad_enabled()
    return not plain and x.device.type == "cpu"


def is_eager_channels_last(x: Tensor) -> bool:
    """Whether frames can be seen as images without a copy, and nothing records."""
    return not is_captured() and x.is_contiguous(memory_format=torch.channels_last_3d)


def frames_of(x: Tensor) -> Tensor:
    """``[B, C, T, H, W] -> [B*T, C, H, W]``; a view where ``x`` lies channels-last."""
    return x.transpose(1, 2).flatten(0, 1)


def clips_of(frames: Tensor, like: Tensor) -> Tensor:
    """``[B*T, C, H, W] -> [B, C, T, H, W]`` with the batch and time of ``like``; the inverse of :func:`frames_of`."""
    return frames.unflatten(0, (like.shape[0], like.shape[2])).transpose(1, 2)


def default_layout(x: Tensor) -> Tensor:
    """``x`` ``[B, C, T, H, W]`` in PyTorch's default layout: clip by clip, since only a matrix is transposed fast."""
    if x.is_contiguous():
        return x
    copy = torch.empty_like(x, memory_format=torch.contiguous_format)
    for source, target in zip(x, copy, strict=True):
        target.flatten(1).copy_(source.permute(1, 2, 3, 0).flatten(0, 2).t())
    return copy
