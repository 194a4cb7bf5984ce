"""Padded convolutions of 3D ResNet-RS, and the fastest way to compute each.

Every map is float ``[B, C, T, H, W]``; kernels, strides and paddings are ``(time, height, width)``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from video_rs.models.layout import (
    clips_of,
    default_layout,
    frames_of,
    is_eager_channels_last,
    may_need_gradients_on_cpu,
)

Triple = tuple[int, int, int]

PADDINGS = ("same", "symmetric")
# Up to so many channels (a clip's own), copying the frames of a window side by side costs less than a 3D convolution.
FEW_CHANNELS = 4


def same_pad_widths(shape: Sequence[int], kernel: Triple, stride: Triple) -> list[int]:
    """Widths for :func:`torch.nn.functional.pad` that reproduce TensorFlow's "same" padding in the strided dimensions.

    TensorFlow pads ``max((ceil(n/s)-1)*s + k - n, 0)`` cells, the smaller half in front: (0, 1) for a 3-wide kernel at
    stride 2 on an even size, (1, 1) on an odd one. The kernels used here are 1 or at least as wide as their stride,
    where the maximum never acts. Dimensions of stride 1 get 0 here: their padding is symmetric and left to the
    convolution.

    A size may be symbolic, so nothing branches on it. In this form the padded size is ``(outputs - 1) * s + k``, of
    which exporters see that the next layer's size is ``outputs``; a remainder, ``(-n) % s``, is more than they solve.
    """
    widths = []
    for size, k, s in zip(reversed(shape), reversed(kernel), reversed(stride), strict=True):
        if s == 1 or k == 1:
            widths += [0, 0]
            continue
        outputs = (size + s - 1) // s
        total = (outputs - 1) * s + k - size
        widths += [total // 2, total - total // 2]
    return widths


def symmetric_padding(kernel: Triple) -> Triple:
    """``kernel // 2`` in each dimension: keeps the size at stride 1 for odd kernels."""
    return tuple(k // 2 for k in kernel)


class Conv3d(nn.Conv3d):
    """Convolution of an odd kernel with TensorFlow's ("same") or PyTorch's ("symmetric") padding.

    Weights start as published: fan-in truncated normal of unit gain (TensorFlow's ``VarianceScaling``), biases 0.

    Args:
        in_channels, out_channels: widths.
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
        self.pads_ahead = padding == "same" and any(s > 1 and k > 1 for k, s in zip(kernel, stride, strict=True))
        inner = tuple(p * d for p, d in zip(symmetric_padding(kernel), dilation, strict=True))
        if padding == "same":
            inner = tuple(p if s == 1 else 0 for p, s in zip(inner, stride, strict=True))
        super().__init__(in_channels, out_channels, kernel, stride, inner, dilation, bias=bias)

    def reset_parameters(self) -> None:
        # TensorFlow cuts at two standard deviations, then widens to unit variance again.
        truncated_normal(self.weight, self.weight[0].numel() ** -0.5 / 0.87962566103423978)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def padding_before(self, size: Sequence[int]) -> Triple:
        """Return how many cells are padded in front of the time, height and width of maps of ``size`` (T, H, W)."""
        if not self.pads_ahead:
            return self.padding
        right_to_left = same_pad_widths(size, self.kernel_size, self.stride)[::2]
        return tuple(ahead + own for ahead, own in zip(reversed(right_to_left), self.padding, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        eager = is_eager_channels_last(x)
        if self.pads_ahead:
            x = functional.pad(x, same_pad_widths(x.shape[2:], self.kernel_size, self.stride))
        if not eager:
            return super().forward(x)
        if self.kernel_size[0] == self.stride[0] == 1:
            y = self._frame_by_frame(x, kernel_of_images(self.weight))
        elif self.in_channels <= FEW_CHANNELS:
            y = self._frame_by_frame(self._windows(x), self.weight.transpose(1, 2).flatten(1, 2))
        else:
            y = self._over_time(x)
        # Maps of one channel lie in both layouts, and give one in the default layout; so do some shapes on a CPU.
        return y.contiguous(memory_format=torch.channels_last_3d)

    def _over_time(self, x: Tensor) -> Tensor:
        if self.bias is not None or not may_need_gradients_on_cpu(x):
            return super().forward(x)
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            x, weight = (value.to(torch.get_autocast_dtype("cpu")) for value in (x, weight))
        return ConvolutionOverTime.apply(x, weight, self.stride, self.padding, self.dilation)

    def _frame_by_frame(self, x: Tensor, kernel: Tensor) -> Tensor:
        """The same sums as a 2D convolution of all frames, for which every backend has faster kernels than for 3D."""
        spatial = (self.stride[1:], self.padding[1:], self.dilation[1:])
        return clips_of(functional.conv2d(frames_of(x), kernel, self.bias, *spatial), x)

    def _windows(self, x: Tensor) -> Tensor:
        """``[B, C, T, H, W] -> [B, kt*C, T', H, W]``: the frames that one output frame sees, as its channels."""
        kernel, stride, pad = self.kernel_size[0], self.stride[0], self.padding[0]
        x = functional.pad(x, (0, 0, 0, 0, pad, pad)) if pad else x
        last = x.shape[2] - kernel
        return torch.cat([x[:, :, i : last + i + 1 : stride] for i in range(kernel)], 1)


def kernel_of_images(weight: Tensor) -> Tensor:
    """``[C', C, 1, h, w] -> [C', C, h, w]``, a view."""
    if weight.shape[3:] == (1, 1) and weight.stride(-1) == 1:
        return matrix_of(weight)[:, :, None, None]
    return weight.squeeze(2)


def matrix_of(weight: Tensor) -> Tensor:
    """``[C', C, 1, 1, 1] -> [C', C]``, a view whose gradient comes back with the weight's own strides.

    Gradients of other views may have other strides where a size is 1, and DDP would copy each into its buckets.
    """
    channels_last = weight.stride(-1) != 1
    return (weight.permute(0, 2, 3, 4, 1) if channels_last else weight).flatten(1)


class ConvolutionOverTime(torch.autograd.Function):
    """``conv3d`` without bias whose weights get their gradient from maps in the default layout.

    On a CPU that gradient takes up to 1.7 times as long from channels-last maps where the kernel reaches over time
    only, and the copies of the maps cost less. Of half-precision maps it is computed in float32: PyTorch 2.14 can
    answer with numbers that are not the gradient, seen in bfloat16 for kernels of 5x3x3 and 5x7x7 over 3 channels on
    maps of a few cells. Graphs that compilers, tracers and exporters record hold PyTorch's own operators, without this.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: Triple, padding: Triple, dilation: Triple) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = (stride, padding, dilation)
        return functional.conv3d(x, weight, None, *ctx.geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, weight = ctx.saved_tensors
        rest = (None, *ctx.geometry, False, (0, 0, 0), 1)
        backward, of_x, of_weight = torch.ops.aten.convolution_backward, None, None
        if ctx.needs_input_grad[0]:
            of_x = backward(gradient, x, weight, *rest, (True, False, False))[0]
        if ctx.needs_input_grad[1]:
            wide = torch.promote_types(weight.dtype, torch.float32)
            # Of the weight only shape and layout matter here.
            like = torch.empty_like(weight, dtype=wide, memory_format=torch.contiguous_format)
            maps = (default_layout(gradient.to(wide)), default_layout(x.to(wide)))
            # In the weight's own strides, those of sizes 1 included: DDP compares them.
            of_weight = torch.empty_like(weight).copy_(backward(*maps, like, *rest, (False, True, False))[1])
        return of_x, of_weight, None, None, None


@torch.no_grad()
def truncated_normal(weight: Tensor, std: float) -> None:
    """Fills ``weight`` from a normal distribution cut at two standard deviations (TensorFlow's TruncatedNormal).

    By the inverse of the distribution function: torch's own draws and redraws whole tensors, and takes seconds for a
    network.
    """
    bound = math.erf(2 / math.sqrt(2))
    weight.uniform_(-bound, bound).erfinv_().mul_(std * math.sqrt(2)).clamp_(-2 * std, 2 * std)
