"""Building blocks of 3D ResNet-RS: padded convolutions and pooling, squeeze-and-excitation, self-gating.

Every map is float ``[B, C, T, H, W]``; kernels, strides and paddings are ``(time, height, width)``.
Sources: TensorFlow Model Garden ``official/vision/modeling`` (``padding="same"``, gating) and the image ResNet-RS of
arXiv 2103.07579 (``padding="symmetric"``, average-pool shortcut).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Triple = tuple[int, int, int]

PADDINGS = ("same", "symmetric")


def same_pad_widths(shape: Sequence[int], kernel: Triple, stride: Triple) -> list[int]:
    """Widths for :func:`torch.nn.functional.pad` that reproduce TensorFlow's "same" padding in the strided dimensions.

    TensorFlow pads ``max((ceil(n/s)-1)*s + k - n, 0)`` cells, the smaller half in front: (0, 1) for a 3-wide kernel at
    stride 2 on an even size, (1, 1) on an odd one. Written without a branch on the size, so that an exported graph
    keeps dynamic sizes; the kernels used here are 1 or at least as wide as their stride, where the maximum never acts.
    Dimensions of stride 1 get 0 here: their padding is symmetric and left to the convolution.
    """
    widths = []
    for size, k, s in zip(reversed(shape), reversed(kernel), reversed(stride), strict=True):
        total = 0 if s == 1 or k == 1 else (-size) % s + k - s
        widths += [total // 2, total - total // 2]
    return widths


def symmetric_padding(kernel: Triple) -> Triple:
    """``kernel // 2`` in each dimension: keeps the size at stride 1 for odd kernels."""
    return tuple(k // 2 for k in kernel)


class Conv3d(nn.Conv3d):
    """Bias-free convolution of an odd kernel with TensorFlow's ("same") or PyTorch's ("symmetric") padding."""

    def __init__(self, in_channels: int, out_channels: int, kernel: Triple, stride: Triple, padding: str):
        self.pads_ahead = padding == "same" and any(s > 1 and k > 1 for k, s in zip(kernel, stride, strict=True))
        inner = symmetric_padding(kernel)
        if padding == "same":
            inner = tuple(p if s == 1 else 0 for p, s in zip(inner, stride, strict=True))
        super().__init__(in_channels, out_channels, kernel, stride, inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.pads_ahead:
            x = functional.pad(x, same_pad_widths(x.shape[2:], self.kernel_size, self.stride))
        return super().forward(x)


class MaxPool3d(nn.MaxPool3d):
    """Max-pooling whose padded cells never win, with TensorFlow's or PyTorch's padding."""

    def __init__(self, kernel: Triple, stride: Triple, padding: str):
        self.pads_ahead = padding == "same"
        super().__init__(kernel, stride, 0 if self.pads_ahead else symmetric_padding(kernel))

    def forward(self, x: Tensor) -> Tensor:
        if self.pads_ahead:
            x = functional.pad(x, same_pad_widths(x.shape[2:], self.kernel_size, self.stride), value=-math.inf)
        return super().forward(x)


class SqueezeExcitation(nn.Module):
    """Channel weights from the clip's mean (Hu et al. 2018), on ``int(channels * ratio)`` hidden channels.

    The hidden width truncates and its activation is always ReLU, as in Model Garden's ``SqueezeExcitation``.
    """

    def __init__(self, channels: int, ratio: float):
        super().__init__()
        hidden = max(1, int(channels * ratio))
        self.reduce = nn.Conv3d(channels, hidden, 1)
        self.expand = nn.Conv3d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = x.mean((2, 3, 4), keepdim=True)
        return x * self.expand(self.reduce(weights).relu()).sigmoid()


class SelfGating(nn.Module):
    """Feature gating of S3D (Xie et al. 2018): one full-width layer from the clip's mean to channel weights."""

    def __init__(self, channels: int):
        super().__init__()
        self.gate = nn.Conv3d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3, 4), keepdim=True)).sigmoid()


class StochasticDepth(nn.Module):
    """Drops a residual branch per sample with probability ``rate`` in training, and scales the kept ones by 1/keep."""

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = torch.empty(x.shape[0], 1, 1, 1, 1, dtype=x.dtype, device=x.device).bernoulli_(keep)
        return x * mask.div_(keep)

    def extra_repr(self) -> str:
        return f"rate={self.rate:g}"


def projection_shortcut(in_channels: int, out_channels: int, stride: Triple, norm) -> nn.Sequential:
    """Strided 1x1x1 convolution and batch norm: the shortcut of Model Garden's 3D network."""
    return nn.Sequential(nn.Conv3d(in_channels, out_channels, 1, stride, bias=False), norm(out_channels))


class AveragePool3d(nn.AvgPool3d):
    """Mean over windows as wide as their stride; a border's window counts the cells that exist (timm's ResNet-D)."""

    def __init__(self, stride: Triple):
        super().__init__(stride, stride, ceil_mode=True, count_include_pad=False)

    def forward(self, x: Tensor) -> Tensor:
        # PyTorch refuses a map smaller than the window; the window of its cells alone has the same mean.
        kernel = tuple(n if n < k else k for n, k in zip(x.shape[2:], self.kernel_size, strict=True))
        return functional.avg_pool3d(x, kernel, self.stride, 0, self.ceil_mode, self.count_include_pad)


def average_pool_shortcut(in_channels: int, out_channels: int, stride: Triple, norm) -> nn.Sequential:
    """ResNet-D: average-pool by the stride (1 needs none), then an unstrided 1x1x1 convolution and batch norm."""
    pool = nn.Identity() if stride == (1, 1, 1) else AveragePool3d(stride)
    return nn.Sequential(pool, nn.Conv3d(in_channels, out_channels, 1, bias=False), norm(out_channels))


SHORTCUTS = {"projection": projection_shortcut, "avgpool": average_pool_shortcut}
