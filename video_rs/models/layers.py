"""Building blocks of 3D ResNet-RS beside its convolutions: pooling, channel weights, stochastic depth, shortcuts.

Every map is float ``[B, C, T, H, W]``; kernels, strides and paddings are ``(time, height, width)``.
Sources: TensorFlow Model Garden ``official/vision/modeling`` (``padding="same"``, gating) and the image ResNet-RS of
arXiv 2103.07579 (``padding="symmetric"``, average-pool shortcut).
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from video_rs.models.convolution import Conv3d, Triple, same_pad_widths, symmetric_padding, truncated_normal
from video_rs.models.frames import as_clips, as_images

MakeNorm = Callable[[int], nn.Module]


class MaxPool3d(nn.MaxPool3d):
    """Max-pooling whose padded cells never win, with TensorFlow's or PyTorch's padding."""

    def __init__(self, kernel: Triple, stride: Triple, padding: str):
        self.pads_ahead = padding == "same"
        super().__init__(kernel, stride, (0, 0, 0) if self.pads_ahead else symmetric_padding(kernel))

    def forward(self, x: Tensor) -> Tensor:
        if self.pads_ahead:
            # PyTorch's own padding is symmetric, and TensorFlow's is not.
            widths = same_pad_widths(x.shape[2:], self.kernel_size, self.stride)
            x = functional.pad(x, widths, value=-math.inf)

        return super().forward(x)


class SqueezeExcitation(nn.Module):
    """Channel weights from a clip's channel means (Hu et al. 2018), over ``int(channels * ratio)`` hidden channels.

    ``forward``: means ``[B, C]`` -> weights ``[B, C]`` in (0, 1). The hidden width truncates and its activation is
    always ReLU, as in Model Garden's ``SqueezeExcitation``.
    """

    def __init__(self, channels: int, ratio: float):
        super().__init__()
        hidden = max(1, int(channels * ratio))  # narrow networks keep at least one
        self.reduce = Conv3d(channels, hidden, bias=True)
        self.expand = Conv3d(hidden, channels, bias=True)

    def forward(self, means: Tensor) -> Tensor:
        hidden = mix_channels(self.reduce, means).relu()  # [B, C] -> [B, hidden]
        return mix_channels(self.expand, hidden).sigmoid()  # [B, hidden] -> [B, C]


class SelfGating(nn.Module):
    """Feature gating of S3D (Xie et al. 2018): one full-width layer from a clip's channel means to channel weights.

    ``forward``: means ``[B, C]`` -> weights ``[B, C]`` in (0, 1).
    """

    def __init__(self, channels: int):
        super().__init__()
        self.gate = Conv3d(channels, channels, bias=True)
        truncated_normal(self.gate.weight, 0.01)

    def forward(self, means: Tensor) -> Tensor:
        return mix_channels(self.gate, means).sigmoid()


def mix_channels(conv: Conv3d, means: Tensor) -> Tensor:
    """Return what a 1 x 1 x 1 convolution makes of a map of one cell: ``[B, C] -> [B, C']``."""
    return functional.linear(means, as_matrix(conv.weight), conv.bias)


def as_matrix(weight: Tensor) -> Tensor:
    """Return ``[C', C, 1, 1, 1]`` as ``[C', C]``, a view whose gradient comes back with the weight's own strides.

    Gradients of other views may have other strides where a size is 1, and DistributedDataParallel would copy each of
    them into its buckets.
    """
    is_channels_last = weight.stride(-1) != 1
    if is_channels_last:
        weight = weight.permute(0, 2, 3, 4, 1)  # [C', C, 1, 1, 1] -> [C', 1, 1, 1, C]
    return weight.flatten(1)


class StochasticDepth(nn.Module):
    """Drop a residual branch per clip with probability ``rate`` in training, and scale the kept ones by 1/(1 - rate).

    ``forward``: ``[B, ...]``, the branch or its channel weights -> the same shape.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x

        # One draw for each clip, whatever the shape of the rest: the same clips are dropped from maps and from weights.
        keep = 1 - self.rate
        shape = [x.shape[0]] + [1] * (x.dim() - 1)
        mask = x.new_empty(shape).bernoulli_(keep)
        return x * mask.div_(keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"


class AveragePool3d(nn.AvgPool3d):
    """Mean over windows as wide as their stride; a border's window counts the cells that exist (timm's ResNet-D)."""

    def __init__(self, stride: Triple):
        super().__init__(stride, stride, ceil_mode=True, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_tracing():
            return self._forward_of_any_size(x)

        kernel = self.kernel_within(x)
        return functional.avg_pool3d(x, kernel, self.stride, 0, self.ceil_mode, self.count_include_pad)

    def kernel_within(self, x: Tensor) -> Triple:
        """Return the window, cut to the map ``x``.

        PyTorch refuses a map smaller than the window; the window of the map's cells alone has the same mean.
        """
        # A plain comparison and not min(), which torch.export cannot record over symbolic sizes.
        return tuple(size if size < k else k for size, k in zip(x.shape[2:], self.kernel_size, strict=True))

    def _forward_of_any_size(self, x: Tensor) -> Tensor:
        """Return the same means without a branch on the size, which a trace would not hold.

        The 2D operator takes maps smaller than the window. A mean of means is the mean, because every frame of a
        window holds as many cells.
        """
        time, height, width = self.stride
        kinds = {"ceil_mode": True, "count_include_pad": False}

        # First the mean over each frame's cells, then over the frames.
        images = functional.avg_pool2d(as_images(x), (height, width), (height, width), **kinds)
        y = as_clips(images, like=x)
        if time == 1:
            return y

        columns = y.flatten(3)  # [B, C, T, H, W] -> [B, C, T, H*W]
        columns = functional.avg_pool2d(columns, (time, 1), (time, 1), **kinds)
        return columns.unflatten(3, y.shape[3:])


def projection_shortcut(in_channels: int, out_channels: int, stride: Triple, norm: MakeNorm) -> nn.Sequential:
    """Return a strided 1 x 1 x 1 convolution and batch norm, the shortcut of Model Garden's 3D network."""
    return nn.Sequential(Conv3d(in_channels, out_channels, (1, 1, 1), stride), norm(out_channels))


def average_pool_shortcut(in_channels: int, out_channels: int, stride: Triple, norm: MakeNorm) -> nn.Sequential:
    """Return ResNet-D's shortcut: an average pool by the stride, then an unstrided 1 x 1 x 1 convolution and norm."""
    # The pool keeps its place where nothing strides, for the names of the weights behind it.
    pool = nn.Identity() if stride == (1, 1, 1) else AveragePool3d(stride)
    return nn.Sequential(pool, Conv3d(in_channels, out_channels), norm(out_channels))


SHORTCUTS = {"projection": projection_shortcut, "avgpool": average_pool_shortcut}
