"""Building blocks of 3D ResNet-RS: padded convolutions and pooling, squeeze-and-excitation, self-gating.

Every map is float ``[B, C, T, H, W]``; kernels, strides and paddings are ``(time, height, width)``.
Sources: TensorFlow Model Garden ``official/vision/modeling`` (``padding="same"``, gating) and the image ResNet-RS of
arXiv 2103.07579 (``padding="symmetric"``, average-pool shortcut).
"""

import contextlib
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

Triple = tuple[int, int, int]

PADDINGS = ("same", "symmetric")
# Up to so many channels (a clip's own), copying the frames of a window side by side costs less than a 3D convolution.
FEW_CHANNELS = 4


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

    def forward(self, x: Tensor) -> Tensor:
        eager = is_eager_channels_last(x)
        if self.pads_ahead:
            x = functional.pad(x, same_pad_widths(x.shape[2:], self.kernel_size, self.stride))
        if not eager:
            return super().forward(x)
        if self.kernel_size[0] == self.stride[0] == 1:
            y = self._frame_by_frame(x, self.weight.squeeze(2))
        elif self.in_channels <= FEW_CHANNELS:
            y = self._frame_by_frame(self._windows(x), self.weight.transpose(1, 2).flatten(1, 2))
        else:
            y = self._over_time(x)
        # Maps of one channel lie in both layouts, and give one in the default layout; so do some shapes on a CPU.
        return y.contiguous(memory_format=torch.channels_last_3d)

    def _over_time(self, x: Tensor) -> Tensor:
        if self.bias is not None or not trains_on_cpu(x):
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


def default_layout(x: Tensor) -> Tensor:
    """``x`` ``[B, C, T, H, W]`` in PyTorch's default layout: clip by clip, since only a matrix is transposed fast."""
    if x.is_contiguous():
        return x
    copy = torch.empty_like(x, memory_format=torch.contiguous_format)
    for source, target in zip(x, copy, strict=True):
        target.flatten(1).copy_(source.permute(1, 2, 3, 0).flatten(0, 2).t())
    return copy


class ConvolutionOverTime(torch.autograd.Function):
    """``conv3d`` without bias whose weights get their gradient from maps in the default layout.

    On a CPU that gradient takes up to 1.7 times as long from channels-last maps where the kernel reaches over time only,
    and the copies of the maps cost less. Of half-precision maps it is computed in float32: PyTorch 2.14 answers with
    numbers that are not the gradient.
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
            of_weight = backward(*maps, like, *rest, (False, True, False))[1].to(weight.dtype)
        return of_x, of_weight, None, None, None


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


def trains_on_cpu(x: Tensor) -> bool:
    """Whether what is computed from ``x`` needs a backward pass that may be our own."""
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


@torch.no_grad()
def truncated_normal(weight: Tensor, std: float) -> None:
    """Fills ``weight`` from a normal distribution cut at two standard deviations (TensorFlow's TruncatedNormal).

    By the inverse of the distribution function: torch's own draws and redraws whole tensors, and takes seconds for a
    network.
    """
    bound = math.erf(2 / math.sqrt(2))
    weight.uniform_(-bound, bound).erfinv_().mul_(std * math.sqrt(2)).clamp_(-2 * std, 2 * std)


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
    return functional.linear(means, conv.weight.flatten(1), conv.bias)


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
        # PyTorch refuses a map smaller than the window; the window of its cells alone has the same mean.
        kernel = tuple(n if n < k else k for n, k in zip(x.shape[2:], self.kernel_size, strict=True))
        how = (0, self.ceil_mode, self.count_include_pad)
        if not is_eager_channels_last(x):
            return functional.avg_pool3d(x, kernel, self.stride, *how)
        if self.stride[0] == 1:
            return clips_of(functional.avg_pool2d(frames_of(x), kernel[1:], self.stride[1:], *how), x)
        # The 3D operator answers in the default layout, in which all that follows would stay.
        return functional.avg_pool3d(x, kernel, self.stride, *how).contiguous(memory_format=torch.channels_last_3d)


def average_pool_shortcut(in_channels: int, out_channels: int, stride: Triple, norm) -> nn.Sequential:
    """ResNet-D: average-pool by the stride (1 needs none), then an unstrided 1x1x1 convolution and batch norm."""
    pool = nn.Identity() if stride == (1, 1, 1) else AveragePool3d(stride)
    return nn.Sequential(pool, Conv3d(in_channels, out_channels), norm(out_channels))


SHORTCUTS = {"projection": projection_shortcut, "avgpool": average_pool_shortcut}
