"""The stem: one or three convolutions on the clip itself, and what shrinks their map."""

from torch import nn

from video_rs.models.architecture import Architecture
from video_rs.models.convolution import Conv3d, Triple
from video_rs.models.layers import MaxPool3d


def make_stem(arch: Architecture) -> nn.Sequential:
    """Return the stem's convolutions, each with batch norm and ReLU; the pooling is separate."""
    temporal_kernel = arch.stem_temporal_kernel
    stride = (arch.stem_temporal_stride, 2, 2)
    half = arch.channels(32)
    full = arch.channels(64)

    if arch.stem == "plain":
        return nn.Sequential(*conv_norm_relu(arch, arch.in_channels, full, (temporal_kernel, 7, 7), stride))

    # ResNet-D: only the first of three convolutions strides, and only that one reaches over time.
    return nn.Sequential(
        *conv_norm_relu(arch, arch.in_channels, half, (temporal_kernel, 3, 3), stride),
        *conv_norm_relu(arch, half, half, (1, 3, 3), (1, 1, 1)),
        *conv_norm_relu(arch, half, full, (1, 3, 3), (1, 1, 1)),
    )


def make_stem_pool(arch: Architecture) -> nn.Module:
    """Return what follows the stem's convolutions: a max-pool, a stride-2 convolution, or nothing."""
    temporal_stride = arch.stem_pool_temporal_stride
    # Without a stride in time, frames are pooled one by one.
    temporal_kernel = 1 if temporal_stride == 1 else 3
    kernel = (temporal_kernel, 3, 3)
    stride = (temporal_stride, 2, 2)

    if arch.stem_pool == "max":
        return MaxPool3d(kernel, stride, arch.padding)
    if arch.stem_pool == "conv":
        full = arch.channels(64)
        return nn.Sequential(*conv_norm_relu(arch, full, full, kernel, stride))
    return nn.Identity()


def conv_norm_relu(
    arch: Architecture, in_channels: int, out_channels: int, kernel: Triple, stride: Triple
) -> list[nn.Module]:
    """Return a convolution, batch norm and ReLU as a list of modules."""
    return [
        Conv3d(in_channels, out_channels, kernel, stride, arch.padding),
        nn.BatchNorm3d(out_channels, eps=arch.norm_eps, momentum=arch.norm_momentum),
        nn.ReLU(inplace=True),
    ]
