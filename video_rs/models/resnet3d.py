"""``ResNet3d``: the one backbone class behind every model of the zoo."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from video_rs.models.architecture import STAGE_WIDTHS, STAGES, Architecture
from video_rs.models.checkpointing import recomputed
from video_rs.models.convolution import Conv3d, Triple
from video_rs.models.layers import SHORTCUTS, MaxPool3d, SelfGating, SqueezeExcitation, StochasticDepth
from video_rs.models.layout import is_captured, is_recorded, may_need_gradients_on_cpu
from video_rs.models.residual import ScaledResidual, WithMeans
from video_rs.runtime.errors import InputError

FEATURES = ("stem", *STAGES)
# The modules of each part.
MODULES = {"stem": ("stem", "stem_pool"), **{stage: (stage,) for stage in STAGES}}


@dataclass(frozen=True)
class FeatureShape:
    """What a consumer of a feature map must know: its channels, and input cells per feature cell."""

    channels: int
    temporal_stride: int
    spatial_stride: int


@dataclass(frozen=True)
class BlockPlan:
    """What differs between the blocks of a network."""

    kernel: int
    stride: Triple
    drop: float
    gated: bool
    dilation: int


class Block(nn.Module):
    """Residual block: branch -> self-gating -> SE -> stochastic depth -> + shortcut -> ReLU (Model Garden's order)."""

    def __init__(self, arch: Architecture, in_channels: int, width: int, plan: BlockPlan):
        super().__init__()
        norm = partial(nn.BatchNorm3d, eps=arch.norm_eps, momentum=arch.norm_momentum)
        out_channels = width * arch.expansion
        make_branch = bottleneck_branch if arch.block == "bottleneck" else basic_branch
        self.branch = make_branch(in_channels, width, plan, arch.padding, norm)
        self.gating = SelfGating(out_channels) if plan.gated else None
        self.se = SqueezeExcitation(out_channels, arch.se_ratio) if arch.se_ratio else None
        self.drop = StochasticDepth(plan.drop)
        self.shortcut = nn.Identity()
        # Model Garden projects where the channels change; a stride without that (the small members) needs it too.
        if in_channels != out_channels or plan.stride != (1, 1, 1):
            self.shortcut = SHORTCUTS[arch.shortcut](in_channels, out_channels, plan.stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y, shortcut = self.branch(x), self.shortcut(x)
        if self.gating is None and self.se is None:
            return (self.drop(y) + shortcut).relu_()
        if may_need_gradients_on_cpu(y) and not torch.is_autocast_enabled("cpu"):
            y, means = WithMeans.apply(y)
            return ScaledResidual.apply(y, self.drop(self._channel_weights(means)), shortcut)
        weights = self.drop(self._channel_weights(y.mean((2, 3, 4))))
        return torch.addcmul(shortcut, y, weights[:, :, None, None, None]).relu_()

    def _channel_weights(self, means: Tensor) -> Tensor:
        """Gate times excitation from the map's means, all ``[B, C]``, so that the map is scaled once.

        The excitation sees the means of the gated map, which are the means times the gate.
        """
        gate = None if self.gating is None else self.gating(means)
        if self.se is None or gate is None:
            return self.se(means) if gate is None else gate
        return gate * self.se(gate * means)


def bottleneck_branch(in_channels: int, width: int, plan: BlockPlan, padding: str, norm) -> nn.Sequential:
    """``kernel x 1 x 1`` with the temporal stride, ``1 x 3 x 3`` with the spatial one, ``1 x 1 x 1`` to 4 x width."""
    temporal, *spatial = plan.stride
    return nn.Sequential(
        Conv3d(in_channels, width, (plan.kernel, 1, 1), (temporal, 1, 1), padding),
        norm(width),
        nn.ReLU(inplace=True),
        Conv3d(width, width, (1, 3, 3), (1, *spatial), padding, plan.dilation),
        norm(width),
        nn.ReLU(inplace=True),
        Conv3d(width, 4 * width),
        norm(4 * width),
    )


def basic_branch(in_channels: int, width: int, plan: BlockPlan, padding: str, norm) -> nn.Sequential:
    """``kernel x 3 x 3`` with the stride, then ``1 x 3 x 3``."""
    return nn.Sequential(
        Conv3d(in_channels, width, (plan.kernel, 3, 3), plan.stride, padding, plan.dilation),
        norm(width),
        nn.ReLU(inplace=True),
        Conv3d(width, width, (1, 3, 3), (1, 1, 1), padding, plan.dilation),
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


def require_names(argument: str, names: Sequence[str]) -> None:
    """Raises InputError unless ``names`` is a list (or another collection) of texts, not one text."""
    is_list = isinstance(names, Collection) and not isinstance(names, str)
    if not is_list or not all(isinstance(name, str) for name in names):
        example = [names] if names in FEATURES else ["res4", "res5"]
        raise InputError(
            f"{argument} is {names!r}; allowed: a list of names among {', '.join(FEATURES)}, for example {example}"
        )


class ResNet3d(nn.Module):
    """3D ResNet that returns named feature maps.

    Args:
        architecture: what to build.
        out_features: names among "stem" (after its pooling), "res2", "res3", "res4", "res5".

    Stages behind the last feature asked for are not built: no weight is without use, or without a gradient.

    ``forward``: float ``[B, C, T, H, W]`` of any T, H and W -> ``{name: float [B, C', T', H', W']}`` with T', H' and W'
    the sizes over the strides of :meth:`output_shape`, rounded up. Maps of eager runs lie in channels-last memory
    format, those of compiled, traced and exported networks as their operators leave them.
    """

    def __init__(self, architecture: Architecture, out_features: Sequence[str] = STAGES):
        super().__init__()
        require_names("out_features", out_features)
        unknown = [name for name in out_features if name not in FEATURES]
        if unknown or not out_features:
            raise InputError(f"out_features {list(out_features)}; allowed: one or more of {', '.join(FEATURES)}")
        self.architecture = architecture
        self.out_features = tuple(out_features)
        self.stages = STAGES[: max(FEATURES.index(name) for name in out_features)]
        self.checkpointed: tuple[str, ...] = ()
        self.stem = make_stem(architecture)
        self.stem_pool = make_stem_pool(architecture)
        channels = architecture.channels(64)
        for index, name in enumerate(self.stages):
            stage = make_stage(architecture, index, channels)
            channels = architecture.channels(STAGE_WIDTHS[index]) * architecture.expansion
            self.add_module(name, stage)
        if architecture.initialization == "tpu":
            self._start_blocks_as_their_shortcuts()

    def _start_blocks_as_their_shortcuts(self) -> None:
        """Zero last gamma of every block (Goyal et al. 2017), where the source has it."""
        for module in self.modules():
            if isinstance(module, Block):
                nn.init.zeros_(module.branch[-1].weight)

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        self._require_clips(clips)
        # Faster on CPUs and on GPUs, and what lets a convolution see frames as images without a copy.
        x = clips if is_captured() else clips.contiguous(memory_format=torch.channels_last_3d)
        # Compilers choose themselves what they compute again, and cannot record our choice.
        checkpointed = () if is_recorded() else self.checkpointed
        features = {}
        for name in FEATURES[: len(self.stages) + 1]:
            part = self._stem if name == "stem" else getattr(self, name)
            if name not in checkpointed:
                x = part(x)  # the module itself: hooks, fully_shard and compile() on a stage act when it is called
            else:
                for step in [part] if name == "stem" else part:
                    x = recomputed(self, step, x)
            features[name] = x
        return {name: features[name] for name in self.out_features}

    def _stem(self, clips: Tensor) -> Tensor:
        return self.stem_pool(self.stem(clips))

    def checkpoint_activations(self, parts: Sequence[str] = FEATURES) -> None:
        """Trains with less memory: the backward pass computes the blocks of these parts again (Chen et al. 2016).

        Args:
            parts: names among "stem", "res2", ... that the backbone has; () keeps everything again. Without effect in
                a compiled network: compilers choose themselves what they compute again.

        Gradients and batch-norm statistics stay the same to the bit. A stage among these parts is called block by
        block: hooks and ``fully_shard`` belong on its blocks then, not on the stage.

        Raises:
            InputError: an unknown name, or no list of names.
        """
        require_names("parts", parts)
        allowed = FEATURES[: len(self.stages) + 1]
        if unknown := [name for name in parts if name not in allowed]:
            raise InputError(f"cannot checkpoint {', '.join(unknown)}; allowed: {', '.join(allowed)}")
        self.checkpointed = tuple(parts)

    def _require_clips(self, clips: Tensor) -> None:
        channels = self.architecture.in_channels
        if clips.dim() != 5 or clips.shape[1] != channels:
            raise InputError(
                f"clips have shape {list(clips.shape)}; allowed: [batch, {channels}, frames, height, width]"
            )
        if not clips.is_floating_point():
            raise InputError(
                f"clips are {clips.dtype}; allowed: floating point, for frames of uint8 clips.float() / 255"
            )
        if is_captured():  # a comparison of sizes would fix them in the graph
            return
        if min(clips.shape[2:]) < 1:
            raise InputError(f"clips have shape {list(clips.shape)}; allowed: at least 1 frame of 1 x 1 pixel")
        if self.training and self.get_submodule(self.stages[-1] if self.stages else "stem").training:
            self._require_statistics(clips)

    def _require_statistics(self, clips: Tensor) -> None:
        """Batch norm has no variance to take from one value a channel."""
        deepest = self._shapes()[FEATURES[len(self.stages)]]
        batch, _, frames, height, width = clips.shape
        t, s = deepest.temporal_stride, deepest.spatial_stride
        if batch * math.ceil(frames / t) * math.ceil(height / s) * math.ceil(width / s) == 1:
            raise InputError(
                f"clips have shape {list(clips.shape)}, which leaves the last batch norm one value a channel; "
                f"allowed in training: at least 2 clips, {t + 1} frames, or {s + 1} pixels in height or width"
            )

    def output_shape(self) -> dict[str, FeatureShape]:
        """Channels and strides of each map that ``forward`` returns."""
        shapes = self._shapes()
        return {name: shapes[name] for name in self.out_features}

    def _shapes(self) -> dict[str, FeatureShape]:
        arch = self.architecture
        pool = 1 if arch.stem_pool == "none" else 2
        temporal = arch.stem_temporal_stride * (1 if pool == 1 else arch.stem_pool_temporal_stride)
        spatial = 2 * pool
        shapes = {"stem": FeatureShape(arch.channels(64), temporal, spatial)}
        for index, name in enumerate(STAGES):
            temporal *= arch.temporal_strides[index]
            spatial *= arch.spatial_stride(index)
            shapes[name] = FeatureShape(arch.channels(STAGE_WIDTHS[index]) * arch.expansion, temporal, spatial)
        return shapes


def make_stage(arch: Architecture, index: int, in_channels: int) -> nn.Sequential:
    """Stage ``index`` (0 to 3): the first block strides, the last one is gated."""
    width = arch.channels(STAGE_WIDTHS[index])
    spatial = arch.spatial_stride(index)
    dilation = arch.res5_dilation if STAGES[index] == "res5" else 1
    kernels, rates = arch.kernels_of_stages()[index], arch.drop_rates()[index]
    blocks = []
    for i, (kernel, rate) in enumerate(zip(kernels, rates, strict=True)):
        stride = (arch.temporal_strides[index], spatial, spatial) if i == 0 else (1, 1, 1)
        gated = arch.self_gating and i == len(kernels) - 1
        blocks.append(Block(arch, in_channels, width, BlockPlan(kernel, stride, rate, gated, dilation)))
        in_channels = width * arch.expansion
    return nn.Sequential(*blocks)
