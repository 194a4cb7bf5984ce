"""``ResNet3d``: the one backbone class behind every model of the zoo."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from video_rs.errors import InputError
from video_rs.models.architecture import STAGE_WIDTHS, STAGES, Architecture
from video_rs.models.layers import (
    SHORTCUTS,
    Conv3d,
    MaxPool3d,
    SelfGating,
    SqueezeExcitation,
    StochasticDepth,
)

FEATURES = ("stem", *STAGES)


@dataclass(frozen=True)
class FeatureShape:
    """What a consumer of a feature map must know: its channels, and input cells per feature cell."""

    channels: int
    temporal_stride: int
    spatial_stride: int


class Block(nn.Module):
    """Residual block: branch -> self-gating -> SE -> stochastic depth -> + shortcut -> ReLU (Model Garden's order)."""

    def __init__(self, arch: Architecture, in_channels: int, width: int, kernel: int, stride, drop: float, gated: bool):
        super().__init__()
        norm = partial(nn.BatchNorm3d, eps=arch.norm_eps, momentum=arch.norm_momentum)
        out_channels = width * arch.expansion
        make_branch = bottleneck_branch if arch.block == "bottleneck" else basic_branch
        self.branch = make_branch(in_channels, width, kernel, stride, arch.padding, norm)
        self.gating = SelfGating(out_channels) if gated else nn.Identity()
        self.se = SqueezeExcitation(out_channels, arch.se_ratio) if arch.se_ratio else nn.Identity()
        self.drop = StochasticDepth(drop)
        self.shortcut = nn.Identity()
        # Model Garden projects where the channels change; a stride without that (the small members) needs it too.
        if in_channels != out_channels or stride != (1, 1, 1):
            self.shortcut = SHORTCUTS[arch.shortcut](in_channels, out_channels, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        return (self.drop(self.se(self.gating(self.branch(x)))) + self.shortcut(x)).relu_()


def bottleneck_branch(in_channels: int, width: int, kernel: int, stride, padding: str, norm) -> nn.Sequential:
    """``kernel x 1 x 1`` with the temporal stride, ``1 x 3 x 3`` with the spatial one, ``1 x 1 x 1`` to 4 x width."""
    temporal, height, width_stride = stride
    return nn.Sequential(
        Conv3d(in_channels, width, (kernel, 1, 1), (temporal, 1, 1), padding),
        norm(width),
        nn.ReLU(inplace=True),
        Conv3d(width, width, (1, 3, 3), (1, height, width_stride), padding),
        norm(width),
        nn.ReLU(inplace=True),
        Conv3d(width, 4 * width, (1, 1, 1), (1, 1, 1), padding),
        norm(4 * width),
    )


def basic_branch(in_channels: int, width: int, kernel: int, stride, padding: str, norm) -> nn.Sequential:
    """``kernel x 3 x 3`` with the stride, then ``1 x 3 x 3``."""
    return nn.Sequential(
        Conv3d(in_channels, width, (kernel, 3, 3), stride, padding),
        norm(width),
        nn.ReLU(inplace=True),
        Conv3d(width, width, (1, 3, 3), (1, 1, 1), padding),
        norm(width),
    )


def make_stem(arch: Architecture) -> nn.Sequential:
    """Convolutions of the stem, each with batch norm and ReLU; the pooling is separate."""
    kernel, stride = arch.stem_temporal_kernel, arch.stem_temporal_stride
    half, full = arch.channels(32), arch.channels(64)
    if arch.stem == "plain":
        plan = [(arch.in_channels, full, (kernel, 7, 7), (stride, 2, 2))]
    else:
        plan = [
            (arch.in_channels, half, (kernel, 3, 3), (stride, 2, 2)),
            (half, half, (1, 3, 3), (1, 1, 1)),
            (half, full, (1, 3, 3), (1, 1, 1)),
        ]
    return nn.Sequential(*[layer for row in plan for layer in conv_norm_relu(arch, *row)])


def make_stem_pool(arch: Architecture) -> nn.Module:
    """What follows the stem's convolutions: a max-pool, a stride-2 convolution, or nothing."""
    temporal = arch.stem_pool_temporal_stride
    kernel, stride = (1 if temporal == 1 else 3, 3, 3), (temporal, 2, 2)
    if arch.stem_pool == "max":
        return MaxPool3d(kernel, stride, arch.padding)
    if arch.stem_pool == "conv":
        full = arch.channels(64)
        return nn.Sequential(*conv_norm_relu(arch, full, full, kernel, stride))
    return nn.Identity()


def conv_norm_relu(arch: Architecture, in_channels: int, out_channels: int, kernel, stride) -> list[nn.Module]:
    """Convolution, batch norm and ReLU as a list of modules."""
    return [
        Conv3d(in_channels, out_channels, kernel, stride, arch.padding),
        nn.BatchNorm3d(out_channels, eps=arch.norm_eps, momentum=arch.norm_momentum),
        nn.ReLU(inplace=True),
    ]


class ResNet3d(nn.Module):
    """3D ResNet that returns named feature maps.

    Args:
        architecture: what to build.
        out_features: names among "stem" (after its pooling), "res2", "res3", "res4", "res5".

    Stages behind the last feature asked for are not built: no weight is without use, or without a gradient.

    ``forward``: float ``[B, C, T, H, W]`` of any T, H and W -> ``{name: float [B, C', T', H', W']}``.
    """

    def __init__(self, architecture: Architecture, out_features: Sequence[str] = STAGES):
        super().__init__()
        unknown = [name for name in out_features if name not in FEATURES]
        if unknown or not out_features:
            raise InputError(f"out_features {list(out_features)}; allowed: one or more of {', '.join(FEATURES)}")
        self.architecture = architecture
        self.out_features = tuple(out_features)
        self.stages = STAGES[: max(FEATURES.index(name) for name in out_features)]
        self.stem = make_stem(architecture)
        self.stem_pool = make_stem_pool(architecture)
        channels = architecture.channels(64)
        for index, name in enumerate(self.stages):
            stage = make_stage(architecture, index, channels)
            channels = architecture.channels(STAGE_WIDTHS[index]) * architecture.expansion
            self.add_module(name, stage)
        initialize(self, architecture)

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        channels = self.architecture.in_channels
        if clips.dim() != 5 or clips.shape[1] != channels:
            raise InputError(
                f"clips have shape {list(clips.shape)}; allowed: [batch, {channels}, frames, height, width]"
            )
        x = self.stem_pool(self.stem(clips))
        features = {"stem": x}
        for name in self.stages:
            features[name] = x = getattr(self, name)(x)
        return {name: features[name] for name in self.out_features}

    def output_shape(self) -> dict[str, FeatureShape]:
        """Channels and strides of each map that ``forward`` returns."""
        arch = self.architecture
        pool = 1 if arch.stem_pool == "none" else 2
        temporal = arch.stem_temporal_stride * (1 if pool == 1 else arch.stem_pool_temporal_stride)
        spatial = 2 * pool
        shapes = {"stem": FeatureShape(arch.channels(64), temporal, spatial)}
        for index, name in enumerate(STAGES):
            temporal *= arch.temporal_strides[index]
            spatial *= 1 if index == 0 else 2
            channels = arch.channels(STAGE_WIDTHS[index]) * arch.expansion
            shapes[name] = FeatureShape(channels, temporal, spatial)
        return {name: shapes[name] for name in self.out_features}


def make_stage(arch: Architecture, index: int, in_channels: int) -> nn.Sequential:
    """Stage ``index`` (0 to 3): the first block strides, the last one is gated."""
    width = arch.channels(STAGE_WIDTHS[index])
    spatial = 1 if index == 0 else 2
    kernels, rates = arch.kernels_of_stages()[index], arch.drop_rates()[index]
    blocks = []
    for i, (kernel, rate) in enumerate(zip(kernels, rates, strict=True)):
        stride = (arch.temporal_strides[index], spatial, spatial) if i == 0 else (1, 1, 1)
        gated = arch.self_gating and i == len(kernels) - 1
        blocks.append(Block(arch, in_channels, width, kernel, stride, rate, gated))
        in_channels = width * arch.expansion
    return nn.Sequential(*blocks)


@torch.no_grad()
def initialize(backbone: ResNet3d, arch: Architecture) -> None:
    """Published initialisation: fan-in truncated normal convolutions, gates N(0, 0.01), zero last gamma if "tpu"."""
    for module in backbone.modules():
        if isinstance(module, nn.Conv3d):
            fan_in = module.weight[0].numel()
            # TensorFlow's VarianceScaling: cut at two standard deviations, then widened to unit variance again.
            truncated_normal(module.weight, fan_in**-0.5 / 0.87962566103423978)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in backbone.modules():
        if isinstance(module, SelfGating):
            truncated_normal(module.gate.weight, 0.01)
        if isinstance(module, Block) and arch.initialization == "tpu":
            nn.init.zeros_(module.branch[-1].weight)


def truncated_normal(weight: Tensor, std: float) -> None:
    """Fills ``weight`` from a normal distribution cut at two standard deviations (TensorFlow's TruncatedNormal)."""
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
