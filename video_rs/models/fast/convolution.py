"""The fastest way known to compute each convolution.

Every map is float ``[B, C, T, H, W]``; kernels, strides and paddings are ``(time, height, width)``.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from video_rs.models.convolution import Conv3d, Triple
from video_rs.models.fast.layout import (
    CHANNELS_LAST,
    in_default_layout,
    may_need_gradients_on_cpu,
    shows_frames_as_images,
)
from video_rs.models.frames import as_clips, as_images
from video_rs.models.layers import as_matrix

# Stride, padding and dilation.
Geometry = tuple[Triple, Triple, Triple]

# Up to so many channels (a clip's own), copying the frames of a window side by side costs less than a 3D convolution.
FEW_CHANNELS = 4
# From so many channels on, in and out, products of matrices are the faster way to the gradient of a kernel over time.
MANY_CHANNELS = 32


class FastConv3d(Conv3d):
    """A Conv3d that convolves frames as images where it can: every backend has faster kernels for 2D than for 3D."""

    def forward(self, x: Tensor) -> Tensor:
        if not shows_frames_as_images(x):
            return super().forward(x)

        x = self.padded(x)

        if not reaches_over_time(self):
            y = self._convolve_images(x, image_kernel(self.weight))
        elif self.in_channels <= FEW_CHANNELS:
            # [C', C, kt, h, w] -> [C', kt*C, h, w], as the windows have their frames as channels.
            y = self._convolve_images(self._windows(x), self.weight.transpose(1, 2).flatten(1, 2))
        else:
            y = self._convolve_over_time(x)

        # Maps of one channel lie in both layouts, and give one in the default layout; so do some shapes on a CPU.
        return y.contiguous(memory_format=CHANNELS_LAST)

    def _convolve_images(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Return the same sums as a 2D convolution of all frames.

        Args:
            x: ``[B, C, T, H, W]``.
            kernel: ``[C', C, h, w]``.
        """
        images = functional.conv2d(
            as_images(x), kernel, self.bias, self.stride[1:], self.padding[1:], self.dilation[1:]
        )
        return as_clips(images, like=x)

    def _windows(self, x: Tensor) -> Tensor:
        """Return the frames that one output frame sees, as its channels: ``[B, C, T, H, W] -> [B, kt*C, T', H, W]``."""
        kernel = self.kernel_size[0]
        stride = self.stride[0]
        pad = self.padding[0]
        if pad:
            x = functional.pad(x, (0, 0, 0, 0, pad, pad))

        last = x.shape[2] - kernel
        return torch.cat([x[:, :, first : last + first + 1 : stride] for first in range(kernel)], 1)

    def _convolve_over_time(self, x: Tensor) -> Tensor:
        """Return the 3D convolution of a map that is padded already."""
        if self.bias is not None or not may_need_gradients_on_cpu(x):
            return nn.Conv3d.forward(self, x)

        weight = self.weight
        # Autocast leaves the inputs of a function of our own as they are.
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x = x.to(dtype)
            weight = weight.to(dtype)
        return ConvolutionOverTime.apply(x, weight, self.stride, self.padding, self.dilation)


def reaches_over_time(convolution: Conv3d) -> bool:
    """Return whether a frame of the output depends on more than the frame at its place, or skips frames."""
    return convolution.kernel_size[0] > 1 or convolution.stride[0] > 1


def runs_in_3d(convolution: Conv3d) -> bool:
    """Return whether a convolution calls the library's 3D operator on channels-last maps."""
    if not isinstance(convolution, FastConv3d):
        return True
    return reaches_over_time(convolution) and convolution.in_channels > FEW_CHANNELS


def image_kernel(weight: Tensor) -> Tensor:
    """Return the kernel of one frame as one of images, a view: ``[C', C, 1, h, w] -> [C', C, h, w]``."""
    if weight.shape[3:] == (1, 1) and weight.stride(-1) == 1:
        return as_matrix(weight)[:, :, None, None]
    return weight.squeeze(2)


class ConvolutionOverTime(torch.autograd.Function):
    """``conv3d`` without bias whose weights get their gradient in other ways.

    Where the kernel reaches over time only, and there are channels enough, that gradient is a sum of products of
    matrices, which takes 0.4 to 0.9 of the operator's time. Else it is computed from maps in the default layout: from
    channels-last maps it takes up to 1.7 times as long on a CPU, and the copies of the maps cost less.

    Of half-precision maps the gradient is computed in float32: PyTorch 2.14 can answer with numbers that are not the
    gradient, seen in bfloat16 for kernels of 5x3x3 and 5x7x7 over 3 channels on maps of a few cells.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, stride: Triple, padding: Triple, dilation: Triple) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = (stride, padding, dilation)
        return functional.conv3d(x, weight, None, stride, padding, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor):
        x, weight = ctx.saved_tensors
        x_gradient = None
        if ctx.needs_input_grad[0]:
            wanted = (True, False, False)
            x_gradient, _, _ = _convolution_backward(gradient, x, weight, ctx.geometry, wanted)

        weight_gradient = None
        if ctx.needs_input_grad[1]:
            wide = torch.promote_types(weight.dtype, torch.float32)
            # In the weight's own strides, those of sizes 1 included: DistributedDataParallel compares them.
            weight_gradient = torch.empty_like(weight)
            if _is_faster_by_products(weight, ctx.geometry):
                found = _gradient_by_products(gradient.to(wide), x.to(wide), weight, ctx.geometry)
            else:
                found = _gradient_in_default_layout(gradient.to(wide), x.to(wide), weight, ctx.geometry)
            weight_gradient.copy_(found)
        return x_gradient, weight_gradient, None, None, None


def _is_faster_by_products(weight: Tensor, geometry: Geometry) -> bool:
    """Return whether :func:`_gradient_by_products` can, and is to, take a kernel."""
    stride, padding, _ = geometry
    sees_cells = weight.shape[3:] == stride[1:] == (1, 1) and padding[1:] == (0, 0)
    return sees_cells and min(weight.shape[:2]) >= MANY_CHANNELS


def _gradient_by_products(gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Return the gradient of a kernel ``[C', C, kt, 1, 1]`` from those of the maps ``[B, C', T', H, W]``."""
    stride, padding, dilation = (of_axis[0] for of_axis in geometry)
    found = torch.zeros_like(weight, dtype=x.dtype)
    for place in range(weight.shape[2]):
        # At this place of the kernel, output frame t sees input frame t * stride + shift.
        shift = place * dilation - padding
        first = max(0, -(shift // stride))
        last = min(gradient.shape[2] - 1, (x.shape[2] - 1 - shift) // stride)
        if last < first:
            continue

        gradients = gradient[:, :, first : last + 1]
        seen = x[:, :, first * stride + shift : last * stride + shift + 1 : stride]
        # Clip by clip, as the frames of a clip lie in one piece, and those of all clips do not.
        for clip in range(len(x)):
            of_gradients = _rows_of_cells(gradients[clip, None])
            found[:, :, place, 0, 0].addmm_(of_gradients.t(), _rows_of_cells(seen[clip, None]))
    return found


def _rows_of_cells(maps: Tensor) -> Tensor:
    """Return the channels of each cell as a row, of channels-last maps without a copy: ``[N, C, ...] -> [n, C]``."""
    return maps.movedim(1, -1).flatten(0, -2)


def _gradient_in_default_layout(gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry) -> Tensor:
    """Return the gradient of any kernel from those of the maps, by PyTorch's operator on copies of them."""
    # Only shape and layout of this weight matter, and its numbers are never read.
    like = torch.empty_like(weight, dtype=x.dtype, memory_format=torch.contiguous_format)
    wanted = (False, True, False)
    _, found, _ = _convolution_backward(in_default_layout(gradient), in_default_layout(x), like, geometry, wanted)
    return found


def _convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, wanted: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of a 3D convolution's input, weight and bias, as far as they are ``wanted``."""
    stride, padding, dilation = geometry
    return torch.ops.aten.convolution_backward(
        gradient, x, weight, None, stride, padding, dilation, False, (0, 0, 0), 1, wanted
    )
