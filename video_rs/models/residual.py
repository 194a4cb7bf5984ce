"""The end of a residual block on a CPU in training: fewer passes over its widest maps than one operator after another.

These maps are larger than the caches, and each operator of the backward pass would read and write all of them again.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class WithMeans(torch.autograd.Function):
    """A map ``[B, C, T, H, W]`` and its means ``[B, C]``; both gradients are joined in one pass."""

    @staticmethod
    def forward(ctx, y: Tensor) -> tuple[Tensor, Tensor]:
        ctx.cells = y.shape[2:].numel()
        return y.view_as(y), y.mean((2, 3, 4))

    @staticmethod
    @once_differentiable
    def backward(ctx, of_map: Tensor, of_means: Tensor) -> Tensor:
        return of_map + (of_means / ctx.cells)[:, :, None, None, None]


threshold_backward = torch.ops.aten.threshold_backward.grad_input


class ScaledResidual(torch.autograd.Function):
    """``relu(shortcut + y * weights)`` of maps ``[B, C, T, H, W]`` and channel weights ``[B, C]``."""

    @staticmethod
    def forward(ctx, y: Tensor, weights: Tensor, shortcut: Tensor) -> Tensor:
        out = torch.addcmul(shortcut, y, weights[:, :, None, None, None]).relu_()
        ctx.save_for_backward(y, weights, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y, weights, out = ctx.saved_tensors
        of_sum, of_y = torch.empty_like(y), torch.empty_like(y)
        # In half precision a sum over the frames would lose what the later ones add.
        wide = torch.promote_types(weights.dtype, torch.float32)
        of_weights = torch.zeros_like(weights, dtype=wide)
        for b in range(len(y)):
            scale = weights[b, :, None, None]
            for t in range(y.shape[2]):  # a frame stays in the cache from one operator to the next
                part = of_sum[b, :, t]
                threshold_backward(gradient[b, :, t], out[b, :, t], 0, grad_input=part)
                torch.mul(part, scale, out=of_y[b, :, t])
                of_weights[b] += (part * y[b, :, t]).sum((1, 2), dtype=wide)
        return of_y, of_weights.to(weights.dtype), of_sum
