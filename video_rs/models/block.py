"""The residual block, written as the papers draw it; ``video_rs.models.fast`` computes the same faster."""

from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from video_rs.models.architecture import Architecture
from video_rs.models.convolution import Conv3d, Triple
from video_rs.models.layers import SHORTCUTS, MakeNorm, SelfGating, SqueezeExcitation, StochasticDepth


@dataclass(frozen=True)
class BlockPlan:
    """What differs between the blocks of a network.

    Attributes:
        in_channels: channels of the block's input.
        width: channels of the inner convolutions.
        temporal_kernel: frames that the first convolution reads.
        stride: (time, height, width) of the block.
        drop_rate: of stochastic depth.
        is_gated: whether the block ends in self-gating.
        dilation: distance between the cells that the 3 x 3 convolutions read.
    """

    in_channels: int
    width: int
    temporal_kernel: int
    stride: Triple
    drop_rate: float
    is_gated: bool
    dilation: int


class Block(nn.Module):
    """Residual block: branch -> self-gating -> SE -> stochastic depth -> + shortcut -> ReLU (Model Garden's order).

    ``forward``: float ``[B, C, T, H, W]`` -> float ``[B, C', T', H', W']``.
    """

    def __init__(self, arch: Architecture, plan: BlockPlan):
        super().__init__()
        norm = partial(nn.BatchNorm3d, eps=arch.norm_eps, momentum=arch.norm_momentum)
        out_channels = plan.width * arch.expansion
        make_branch = bottleneck_branch if arch.block == "bottleneck" else basic_branch

        # Fresh weights are drawn in the order in which the parts are made.
        self.branch = make_branch(plan, arch.padding, norm)
        self.gating = SelfGating(out_channels) if plan.is_gated else None
        self.se = SqueezeExcitation(out_channels, arch.se_ratio) if arch.se_ratio else None
        self.drop = StochasticDepth(plan.drop_rate)
        self.shortcut = nn.Identity()
        # Model Garden projects where the channels change; a stride without that (the small members) needs it too.
        if plan.in_channels != out_channels or plan.stride != (1, 1, 1):
            self.shortcut = SHORTCUTS[arch.shortcut](plan.in_channels, out_channels, plan.stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)  # [B, C, T, H, W] -> [B, C', T', H', W']

        # Weights [B, C'] of the channels, from their means over a clip; the excitation sees the gated map.
        if self.gating is not None:
            weights = self.gating(channel_means(y))
            y = y * weights[:, :, None, None, None]
        if self.se is not None:
            weights = self.se(channel_means(y))
            y = y * weights[:, :, None, None, None]

        residual = self.drop(y)
        return (residual + self.shortcut(x)).relu_()


def channel_means(x: Tensor) -> Tensor:
    """Return the mean over time and space: ``[B, C, T, H, W] -> [B, C]``."""
    return x.mean((2, 3, 4))


def bottleneck_branch(plan: BlockPlan, padding: str, norm: MakeNorm) -> nn.Sequential:
    """Return ``kt x 1 x 1`` with the stride in time, ``1 x 3 x 3`` with that in space, ``1 x 1 x 1`` to 4 x width."""
    width = plan.width
    temporal, vertical, horizontal = plan.stride

    return nn.Sequential(
        Conv3d(plan.in_channels, width, (plan.temporal_kernel, 1, 1), (temporal, 1, 1), padding),
        norm(width),
        nn.ReLU(inplace=True),
        Conv3d(width, width, (1, 3, 3), (1, vertical, horizontal), padding, plan.dilation),
        norm(width),
        nn.ReLU(inplace=True),
        # Four times the width: Architecture.expansion.
        Conv3d(width, 4 * width),
        norm(4 * width),
    )


def basic_branch(plan: BlockPlan, padding: str, norm: MakeNorm) -> nn.Sequential:
    """Return ``kt x 3 x 3`` with the stride, then ``1 x 3 x 3``."""
    width = plan.width
    return nn.Sequential(
        Conv3d(plan.in_channels, width, (plan.temporal_kernel, 3, 3), plan.stride, padding, plan.dilation),
        norm(width),
        nn.ReLU(inplace=True),
        Conv3d(width, width, (1, 3, 3), (1, 1, 1), padding, plan.dilation),
        norm(width),
    )
