"""The end of a residual block in fewer passes over its widest maps than one operator after another.

These maps are larger than the caches, and each operator of a backward pass would read and write all of them again.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from video_rs.models.block import Block, channel_means
from video_rs.models.fast.layout import may_need_gradients_on_cpu
from video_rs.models.recording import is_recorded

# The gradient of ReLU, written into a tensor that is there already.
threshold_backward = torch.ops.aten.threshold_backward.grad_input


class FastBlock(Block):
    """A Block that multiplies gate, excitation and stochastic depth as numbers per channel, and scales its map once."""

    def forward(self, x: Tensor) -> Tensor:
        is_weighted = self.gating is not None or self.se is not None
        if is_recorded() or not is_weighted:
            return super().forward(x)

        y = self.branch(x)
        shortcut = self.shortcut(x)
        if may_need_gradients_on_cpu(y) and not torch.is_autocast_enabled("cpu"):
            y, means = WithMeans.apply(y)
            weights = self.drop(self._channel_weights(means))
            return ScaledResidual.apply(y, weights, shortcut)

        weights = self.drop(self._channel_weights(channel_means(y)))
        return torch.addcmul(shortcut, y, weights[:, :, None, None, None]).relu_()

    def _channel_weights(self, means: Tensor) -> Tensor:
        """Return gate times excitation from the map's means, all ``[B, C]``."""
        if self.gating is None:
            return self.se(means)
        gate = self.gating(means)
        if self.se is None:
            return gate
        # The excitation sees the means of the gated map, which are the means times the gate.
        return gate * self.se(gate * means)


class WithMeans(torch.autograd.Function):
    """A map ``[B, C, T, H, W]`` and its means ``[B, C]``; the gradients of both are joined in one pass."""

    @staticmethod
    def forward(ctx, y: Tensor) -> tuple[Tensor, Tensor]:
        ctx.cells = y.shape[2:].numel()
        return y.view_as(y), channel_means(y)

    @staticmethod
    @once_differentiable
    def backward(ctx, map_gradient: Tensor, means_gradient: Tensor) -> Tensor:
        return map_gradient + (means_gradient / ctx.cells)[:, :, None, None, None]


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
        shortcut_gradient = torch.empty_like(y)
        y_gradient = torch.empty_like(y)
        # In half precision a sum over the frames would lose what the later ones add.
        wide = torch.promote_types(weights.dtype, torch.float32)
        weights_gradient = torch.zeros_like(weights, dtype=wide)

        # Frame by frame: a frame stays in the cache from one operator to the next.
        for clip in range(y.shape[0]):
            scale = weights[clip, :, None, None]
            for time in range(y.shape[2]):
                frame = (clip, slice(None), time)  # [C, H, W]
                sum_gradient = shortcut_gradient[frame]
                threshold_backward(gradient[frame], out[frame], 0, grad_input=sum_gradient)
                torch.mul(sum_gradient, scale, out=y_gradient[frame])
                weights_gradient[clip] += (sum_gradient * y[frame]).sum((1, 2), dtype=wide)
        return y_gradient, weights_gradient.to(weights.dtype), shortcut_gradient
