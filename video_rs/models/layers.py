"""Building blocks of 3D ResNet-RS beside its convolutions: pooling, channel weights, stochastic depth, shortcuts.

Every map is float ``[B, C, T, H, W]``; kernels, strides and paddings are ``(time, height, width)``.
Sources: TensorFlow Model Garden ``official/vision/modeling`` (``padding="same"``, gating) and the image ResNet-RS of
arXiv 2103.07579 (``padding="symmetric"``, average-pool shortcut).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from video_rs.models.convolution import Conv3d, Triple, matrix_of, same_pad_widths, symmetric_padding, truncated_normal
from video_rs.models.layout import clips_of, frames_of, is_eager_channels_last


class MaxPool3d(nn.MaxPool3d):
    """Max-pooling whose padded cells never win, with TensorFlow's or PyTorch's padding."""

    def __init__(self, kernel: Triple, stride: Triple, padding: str):
        self.pads_ahead = padding == "same"
        super().__init__(kernel, stride, (0, 0, 0) if self.pads_ahead else symmetric_padding(kernel))

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel_size[0] == self.stride[0] == 1 and is_eager_channels_last(x):
            return self._frame_by_frame(x)
        if self.pads_ahead:
            x = functional.pad(x, same_pad_widths(x.shape[2:], self.kernel_size, self.stride), value=-math.inf)
        return super().forward(x)

    def _frame_by_frame(self, x: Tensor) -> Tensor:
        """The same maxima by the faster 2D operator, and TensorFlow's padding without a padded copy.

        What TensorFlow pads in front is 0 or 1 by the parity of the size; behind, a last window may reach over the
        border (``ceil_mode``), as its padding has it.
        """
        padding = self.padding[1:]
        if self.pads_ahead:
            left, _, top, _, _, _ = same_pad_widths(x.shape[2:], self.kernel_size, self.stride)
            padding = (top, left)
        kernel, stride = self.kernel_size[1:], self.stride[1:]
        y = functional.max_pool2d(frames_of(x), kernel, stride, padding, ceil_mode=self.pads_ahead)
        return clips_of(y, x)


class SqueezeExcitation(nn.Module):
    """Channel weights from a clip's channel means (Hu et al. 2018), over ``int(channels * ratio)`` hidden channels.

    ``forward``: means ``[B, C]`` -> weights ``[B, C]`` in (0, 1). The hidden width truncates and its activation is
    always ReLU, as in Model Garden's ``SqueezeExcitation``.
    """

    def __init__(self, channels: int, ratio: float):
        super().__init__()
        hidden = max(1, int(channels * ratio))
        self.reduce = Conv3d(channels, hidden, bias=True)
        self.expand = Conv3d(hidden, channels, bias=True)

    def forward(self, means: Tensor) -> Tensor:
        return pointwise(self.expand, pointwise(self.reduce, means).relu()).sigmoid()


class SelfGating(nn.Module):
    """Feature gating of S3D (Xie et al. 2018): one full-width layer from a clip's channel means to channel weights.

    ``forward``: means ``[B, C]`` -> weights ``[B, C]`` in (0, 1).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gate = Conv3d(channels, channels, bias=True)
        truncated_normal(self.gate.weight, 0.01)

    def forward(self, means: Tensor) -> Tensor:
        return pointwise(self.gate, means).sigmoid()


def pointwise(conv: Conv3d, means: Tensor) -> Tensor:
    """What a 1 x 1 x 1 convolution makes of a map of one cell: ``[B, C] -> [B, C']``."""
    return functional.linear(means, matrix_of(conv.weight), conv.bias)


class StochasticDepth(nn.Module):
    """Drops a residual branch per sample with probability ``rate`` in training, and scales the kept ones by 1/keep.

    ``forward``: ``[B, ...]``, the branch or its channel weights -> the same.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = x.new_empty(x.shape[0], *[1] * (x.dim() - 1)).bernoulli_(keep)
        return x * mask.div_(keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"


def projection_shortcut(in_channels: int, out_channels: int, stride: Triple, norm) -> nn.Sequential:
    """Strided 1x1x1 convolution and batch norm: the shortcut of Model Garden's 3D network."""
    return nn.Sequential(Conv3d(in_channels, out_channels, (1, 1, 1), stride), norm(out_channels))


class AveragePool3d(nn.AvgPool3d):
    """Mean over windows as wide as their stride; a border's window counts the cells that exist (timm's ResNet-D)."""

    def __init__(self, stride: Triple):
        super().__init__(stride, stride, ceil_mode=True, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_tracing():
            return self._at_any_size(x)
        # PyTorch refuses a map smaller than the window; the window of its cells alone has the same mean.
        kernel = tuple(n if n < k else k for n, k in zip(x.shape[2:], self.kernel_size, strict=True))
        how = (0, self.ceil_mode, self.count_include_pad)
        if not is_eager_channels_last(x):
            return functional.avg_pool3d(x, kernel, self.stride, *how)
        if self.stride[0] == 1:
            return clips_of(functional.avg_pool2d(frames_of(x), kernel[1:], self.stride[1:], *how), x)
        # The 3D operator answers in the default layout, in which all that follows would stay.
        return functional.avg_pool3d(x, kernel, self.stride, *how).contiguous(memory_format=torch.channels_last_3d)

    def _at_any_size(self, x: Tensor) -> Tensor:
        """The same means without a branch on the size, which a trace would not hold; slower in the default layout.

        The 2D operator takes maps smaller than the window. A mean of means is the mean: every frame of a window holds
        as many cells.
        """
        time, *space = self.stride
        how = {"ceil_mode": True, "count_include_pad": False}
        y = clips_of(functional.avg_pool2d(frames_of(x), space, space, **how), x)
        if time == 1:
            return y
        return functional.avg_pool2d(y.flatten(3), (time, 1), (time, 1), **how).unflatten(3, y.shape[3:])


def average_pool_shortcut(in_channels: int, out_channels: int, stride: Triple, norm) -> nn.Sequential:
    """ResNet-D: average-pool by the stride (1 needs none), then an unstrided 1x1x1 convolution and batch norm."""
    pool = nn.Identity() if stride == (1, 1, 1) else AveragePool3d(stride)
    return nn.Sequential(pool, Conv3d(in_channels, out_channels), norm(out_channels))


SHORTCUTS = {"projection": projection_shortcut, "avgpool": average_pool_shortcut}
