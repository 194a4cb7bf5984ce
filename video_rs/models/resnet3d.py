"""``ResNet3d``: the one backbone class behind every model of the zoo."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from video_rs.models.architecture import STAGE_WIDTHS, STAGES, Architecture
from video_rs.models.block import Block, BlockPlan
from video_rs.models.checkpointing import recomputed
from video_rs.models.layers import MaxPool3d
from video_rs.models.pretrained_spec import PretrainedSpec
from video_rs.models.recording import is_recorded
from video_rs.models.stem import make_stem, make_stem_pool
from video_rs.runtime.errors import InputError

FEATURES = ("stem", *STAGES)
# The modules of each part.
MODULES = {"stem": ("stem", "stem_pool"), **{stage: (stage,) for stage in STAGES}}


@dataclass(frozen=True)
class FeatureShape:
    """What a consumer of a feature map must know.

    Attributes:
        channels: of the map.
        temporal_stride: frames of the clip per frame of the map.
        spatial_stride: pixels of the clip per cell of the map, in height and in width.
    """

    channels: int
    temporal_stride: int
    spatial_stride: int


class ResNet3d(nn.Module):
    """3D ResNet that returns named feature maps.

    Args:
        architecture: what to build.
        out_features: names among "stem" (after its pooling), "res2", "res3", "res4", "res5".

    Stages behind the last feature asked for are not built: no weight is without use, or without a gradient.

    ``forward``: float ``[B, C, T, H, W]`` of any T, H and W -> ``{name: float [B, C', T', H', W']}`` with T', H' and W'
    the sizes over the strides of :meth:`output_shape`, rounded up. The maps lie in memory as the operators leave them;
    those of a network that :func:`video_rs.models.fast.speed_up` changed are channels-last, unless they were recorded.
    """

    # What the weights that create_backbone(pretrained=...) found were trained with.
    pretrained_spec: PretrainedSpec | None = None

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
            self.add_module(name, make_stage(architecture, index, channels))
            channels = architecture.stage_channels(index)

        if architecture.initialization == "tpu":
            self._start_blocks_as_their_shortcuts()

    def _start_blocks_as_their_shortcuts(self) -> None:
        """Set the last gamma of every block to zero (Goyal et al. 2017), as the TPU source does."""
        for module in self.modules():
            if isinstance(module, Block):
                last_norm = module.branch[-1]
                nn.init.zeros_(last_norm.weight)

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        self._require_clips(clips)

        features = {}
        x = clips
        for name, part in self._parts().items():
            x = self._forward_part(name, part, x)
            features[name] = x
        return {name: features[name] for name in self.out_features}

    def forward_until(self, last: str, clips: Tensor) -> Tensor:
        """Return the map of the part ``last``, and compute none of the parts behind it.

        Args:
            last: a name among "stem", "res2", ... that the backbone has.
            clips: float ``[B, C, T, H, W]``.

        Raises:
            InputError: no such part, or clips that the network does not take.
        """
        self._require_part(last)
        self._require_clips(clips)

        x = clips
        for name, part in self._parts().items():
            x = self._forward_part(name, part, x)
            if name == last:
                break
        return x

    def forward_behind(self, first: str, x: Tensor) -> Tensor:
        """Return the network's last map from the map ``x`` of the part ``first``: the other half of a forward pass.

        Args:
            first: the part whose map is given, as for :meth:`forward_until`.
            x: float ``[B, C, T', H', W']``.

        Raises:
            InputError: no such part.
        """
        self._require_part(first)

        parts = list(self._parts().items())
        for name, part in parts[FEATURES.index(first) + 1 :]:
            x = self._forward_part(name, part, x)
        return x

    def _require_part(self, name: str) -> None:
        """Raise InputError unless the backbone has a part of that name."""
        allowed = FEATURES[: len(self.stages) + 1]
        if name not in allowed:
            raise InputError(f"stage is {name!r}; allowed: {', '.join(allowed)}")

    def _parts(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """Return ``{name: what computes its map from the one before}``, in the order of the forward pass."""
        # The stages themselves: hooks, fully_shard and compile() on a stage act when the module is called.
        return {"stem": self.forward_stem, **{name: getattr(self, name) for name in self.stages}}

    def forward_stem(self, clips: Tensor) -> Tensor:
        """Return the stem's map after its pooling: ``[B, C, T, H, W] -> [B, C', T', H', W']``."""
        return self.stem_pool(self.stem(clips))

    def _forward_part(self, name: str, part: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Return the map of one part, which the backward pass computes again where the part is checkpointed."""
        # Compilers choose themselves what they compute again, and cannot record our choice.
        if name not in self.checkpointed or is_recorded():
            return part(x)

        if name == "stem":
            return recomputed(self, part, x)
        # Block by block: the backward pass then holds the inner maps of one block at a time.
        for block in part:
            x = recomputed(self, block, x)
        return x

    def checkpoint_activations(self, parts: Sequence[str] = FEATURES) -> None:
        """Train with less memory: let the backward pass compute the blocks of these parts again (Chen et al. 2016).

        Gradients and batch-norm statistics stay the same to the bit. A stage among these parts is called block by
        block: hooks and ``fully_shard`` belong on its blocks then, not on the stage.

        Args:
            parts: names among "stem", "res2", ... that the backbone has; () keeps everything again. Without effect in
                a compiled network: compilers choose themselves what they compute again.

        Raises:
            InputError: an unknown name, or no list of names.
        """
        require_names("parts", parts)

        allowed = FEATURES[: len(self.stages) + 1]
        unknown = [name for name in parts if name not in allowed]
        if unknown:
            raise InputError(f"cannot checkpoint {', '.join(unknown)}; allowed: {', '.join(allowed)}")
        self.checkpointed = tuple(parts)

    def output_shape(self) -> dict[str, FeatureShape]:
        """Return channels and strides of each map that ``forward`` returns."""
        shapes = feature_shapes(self.architecture)
        return {name: shapes[name] for name in self.out_features}

    def _require_clips(self, clips: Tensor) -> None:
        """Raise InputError unless the clips are of a shape and dtype that the network takes."""
        channels = self.architecture.in_channels
        if clips.dim() != 5 or clips.shape[1] != channels:
            raise InputError(
                f"clips have shape {list(clips.shape)}; allowed: [batch, {channels}, frames, height, width]"
            )
        if not clips.is_floating_point():
            raise InputError(
                f"clips are {clips.dtype}; allowed: floating point, for frames of uint8 clips.float() / 255"
            )

        # A comparison of sizes would fix them in the graph.
        if is_recorded():
            return

        if min(clips.shape[2:]) < 1:
            raise InputError(f"clips have shape {list(clips.shape)}; allowed: at least 1 frame of 1 x 1 pixel")
        last_part = self.get_submodule(self.stages[-1] if self.stages else "stem")
        if self.training and last_part.training:  # a frozen part is in evaluation mode
            self._require_statistics(clips)

    def _require_statistics(self, clips: Tensor) -> None:
        """Raise InputError where batch norm would take a variance from one value a channel."""
        deepest = feature_shapes(self.architecture)[FEATURES[len(self.stages)]]
        temporal = deepest.temporal_stride
        spatial = deepest.spatial_stride

        batch, _, frames, height, width = clips.shape
        cells = math.ceil(frames / temporal) * math.ceil(height / spatial) * math.ceil(width / spatial)
        if batch * cells == 1:
            raise InputError(
                f"clips have shape {list(clips.shape)}, which leaves the last batch norm one value a channel; "
                f"allowed in training: at least 2 clips, {temporal + 1} frames, or {spatial + 1} pixels in height or "
                "width"
            )


def feature_shapes(arch: Architecture) -> dict[str, FeatureShape]:
    """Return channels and strides of every map that a network of this architecture can return."""
    temporal = arch.stem_temporal_stride
    spatial = 2  # of the stem's first convolution
    if arch.stem_pool != "none":
        temporal *= arch.stem_pool_temporal_stride
        spatial *= 2

    shapes = {"stem": FeatureShape(arch.channels(64), temporal, spatial)}
    for index, name in enumerate(STAGES):
        temporal *= arch.temporal_stride(index)
        spatial *= arch.spatial_stride(index)
        shapes[name] = FeatureShape(arch.stage_channels(index), temporal, spatial)
    return shapes


def make_stage(arch: Architecture, index: int, in_channels: int) -> nn.Sequential:
    """Return stage ``index`` (0 to 3): the first block strides, the last one is gated, and res2 may be pooled."""
    temporal_kernels = arch.kernels_of_stages()[index]
    drop_rates = arch.drop_rates()[index]
    spatial_stride = arch.spatial_stride(index)
    stride = (arch.temporal_strides[index], spatial_stride, spatial_stride)
    dilation = arch.res5_dilation if STAGES[index] == "res5" else 1

    blocks = []
    for number, (temporal_kernel, drop_rate) in enumerate(zip(temporal_kernels, drop_rates, strict=True)):
        is_last = number == len(temporal_kernels) - 1
        plan = BlockPlan(
            in_channels=in_channels,
            width=arch.channels(STAGE_WIDTHS[index]),
            temporal_kernel=temporal_kernel,
            stride=stride,
            drop_rate=drop_rate,
            is_gated=arch.self_gating and is_last,
            dilation=dilation,
        )
        # Only the first block strides and changes the channels.
        stride = (1, 1, 1)
        in_channels = arch.stage_channels(index)
        blocks.append(Block(arch, plan))

    frames = arch.res2_pool_temporal_stride
    if STAGES[index] == "res2" and frames > 1:
        # The "same" padding reaches behind the last frame only: a last frame that is left over is pooled alone.
        blocks.append(MaxPool3d((frames, 1, 1), (frames, 1, 1), "same"))
    return nn.Sequential(*blocks)


def require_names(argument: str, names: Sequence[str]) -> None:
    """Raise InputError unless ``names`` is a list (or another collection) of texts, and not one text."""
    is_list = isinstance(names, Collection) and not isinstance(names, str)
    if not is_list or not all(isinstance(name, str) for name in names):
        example = [names] if names in FEATURES else ["res4", "res5"]
        raise InputError(
            f"{argument} is {names!r}; allowed: a list of names among {', '.join(FEATURES)}, for example {example}"
        )
