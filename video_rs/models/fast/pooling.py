"""Pooling of frames as images, by PyTorch's faster 2D operators."""

from torch import Tensor, nn
from torch.nn import functional

from video_rs.models.convolution import same_pad_widths
from video_rs.models.fast.layout import CHANNELS_LAST, shows_frames_as_images
from video_rs.models.frames import as_clips, as_images
from video_rs.models.layers import AveragePool3d, MaxPool3d


class FastMaxPool3d(MaxPool3d):
    """A MaxPool3d that pools frames as images, where it does not reach over time, and without a padded copy."""

    def forward(self, x: Tensor) -> Tensor:
        reaches_over_time = self.kernel_size[0] > 1 or self.stride[0] > 1
        if not shows_frames_as_images(x):
            return super().forward(x)
        if reaches_over_time:
            return self._pool_over_time(x)

        padding = self.padding[1:]
        if self.pads_ahead:
            # What TensorFlow pads in front is 0 or 1 by the parity of the size; behind, a last window may reach over
            # the border (ceil_mode), as its padding has it.
            left, _, top, _, _, _ = same_pad_widths(x.shape[2:], self.kernel_size, self.stride)
            padding = (top, left)
        kernel = self.kernel_size[1:]
        stride = self.stride[1:]
        pooled = functional.max_pool2d(as_images(x), kernel, stride, padding, ceil_mode=self.pads_ahead)
        return as_clips(pooled, like=x)

    def _pool_over_time(self, x: Tensor) -> Tensor:
        """Return the maxima by the 3D operator, which keeps the layout, without a copy where nothing is padded."""
        if self.pads_ahead and any(same_pad_widths(x.shape[2:], self.kernel_size, self.stride)):
            return super().forward(x)
        return nn.MaxPool3d.forward(self, x)


class FastAveragePool3d(AveragePool3d):
    """An AveragePool3d that pools frames as images, and whose maps stay channels-last."""

    def forward(self, x: Tensor) -> Tensor:
        if not shows_frames_as_images(x):
            return super().forward(x)
        if self.stride[0] > 1:
            # The 3D operator answers in the default layout, in which all that follows would stay.
            return super().forward(x).contiguous(memory_format=CHANNELS_LAST)

        kernel = self.kernel_within(x)[1:]
        stride = self.stride[1:]
        pooled = functional.avg_pool2d(as_images(x), kernel, stride, 0, self.ceil_mode, self.count_include_pad)
        return as_clips(pooled, like=x)
