"""The convolution of every layer, with TensorFlow's or PyTorch's padding, and how its weights start.

Every map is float ``[B, C, T, H, W]``; kernels, strides and paddings are ``(time, height, width)``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

Triple = tuple[int, int, int]

PADDINGS = ("same", "symmetric")
# Standard deviation of a unit normal distribution that is cut at two standard deviations.
TRUNCATED_STD = 0.87962566103423978


class Conv3d(nn.Conv3d):
    """Convolution of an odd kernel with TensorFlow's ("same") or PyTorch's ("symmetric") padding.

    Weights start as published: from a truncated normal distribution of unit gain over the fan-in (TensorFlow's
    ``VarianceScaling``), and biases from 0.

    Args:
        in_channels, out_channels: widths of the input and the output.
        kernel, stride: (time, height, width).
        padding: one of :data:`PADDINGS`.
        spatial_dilation: distance between the cells that height and width of the kernel read.
        bias: whether a bias is added.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Triple = (1, 1, 1),
        stride: Triple = (1, 1, 1),
        padding: str = "same",
        spatial_dilation: int = 1,
        bias: bool = False,
    ):
        dilation = (1, spatial_dilation, spatial_dilation)
        # TensorFlow's padding depends on the size of the map in strided dimensions, and is added ahead there.
        self.pads_ahead = False
        own_padding = []
        for size, step, distance in zip(kernel, stride, dilation, strict=True):
            if padding == "same" and step > 1:
                own_padding.append(0)
                self.pads_ahead = self.pads_ahead or size > 1
            else:
                own_padding.append(size // 2 * distance)

        super().__init__(in_channels, out_channels, kernel, stride, tuple(own_padding), dilation, bias=bias)

    def reset_parameters(self) -> None:
        """Draw fresh weights, as published."""
        fan_in = self.weight[0].numel()

        # TensorFlow cuts at two standard deviations, and widens what is left to unit variance again.
        truncated_normal(self.weight, fan_in**-0.5 / TRUNCATED_STD)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def padding_before(self, size: Sequence[int]) -> Triple:
        """Return how many cells are padded in front of the time, height and width of maps of ``size`` (T, H, W)."""
        if not self.pads_ahead:
            return self.padding

        left, _, top, _, first, _ = same_pad_widths(size, self.kernel_size, self.stride)
        own_first, own_top, own_left = self.padding
        return (first + own_first, top + own_top, left + own_left)

    def padded(self, x: Tensor) -> Tensor:
        """Return ``x`` with the cells that TensorFlow's padding adds to the strided dimensions."""
        if not self.pads_ahead:
            return x
        widths = same_pad_widths(x.shape[2:], self.kernel_size, self.stride)
        return functional.pad(x, widths)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.padded(x))


def same_pad_widths(shape: Sequence[int], kernel: Triple, stride: Triple) -> list[int]:
    """Return widths for :func:`torch.nn.functional.pad` that are TensorFlow's "same" padding of strided dimensions.

    TensorFlow pads ``max((ceil(n/s)-1)*s + k - n, 0)`` cells, the smaller half in front: (0, 1) for a 3-wide kernel at
    stride 2 on an even size, (1, 1) on an odd one. The kernels used here are 1 or at least as wide as their stride,
    where the maximum never acts. Dimensions of stride 1 get 0 here: their padding is symmetric and left to the
    convolution.

    A size may be symbolic, and therefore nothing branches on it. In this form the padded size is
    ``(outputs - 1) * s + k``, of which exporters see that the next layer's size is ``outputs``; a remainder,
    ``(-n) % s``, is more than they solve.

    Args:
        shape: (T, H, W) of the map.
        kernel, stride: of the layer.

    Returns:
        Six widths: left, right, top, bottom, first and last frames.
    """
    widths = []
    for size, k, s in zip(reversed(shape), reversed(kernel), reversed(stride), strict=True):
        if s == 1 or k == 1:
            widths += [0, 0]
            continue

        outputs = (size + s - 1) // s
        total = (outputs - 1) * s + k - size
        # The smaller half goes in front.
        widths += [total // 2, total - total // 2]
    return widths


def symmetric_padding(kernel: Triple) -> Triple:
    """Return ``kernel // 2`` in each dimension, which keeps the size at stride 1 for odd kernels."""
    return tuple(k // 2 for k in kernel)


@torch.no_grad()
def truncated_normal(weight: Tensor, std: float) -> None:
    """Fill ``weight`` from a normal distribution cut at two standard deviations (TensorFlow's TruncatedNormal).

    The numbers come from the inverse of the distribution function: torch's own function draws and redraws whole
    tensors, and takes seconds for a network.
    """
    # A network without memory has no numbers; to follow their shapes would take longer than to make the network.
    if weight.is_meta:
        return

    bound = math.erf(2 / math.sqrt(2))
    weight.uniform_(-bound, bound).erfinv_().mul_(std * math.sqrt(2))

    # Rounding may carry a number past the bounds.
    weight.clamp_(-2 * std, 2 * std)
