"""The names that other projects give to the weights of slow_r50, c2d_r50 and i3d_r50.

Sources: pytorchvideo 0.1.5 (``models/resnet.py``), SlowFast (``slowfast/models/stem_helper.py``, ``resnet_helper.py``,
``head_helper.py``), MMAction2 (``mmaction/models/backbones/resnet3d.py``, ``heads/i3d_head.py``).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from video_rs.models.architecture import STAGES, Architecture

# Where our blocks have their layers: three convolutions and three norms.
LAYERS = (".branch.0.", ".branch.1.", ".branch.3.", ".branch.4.", ".branch.6.", ".branch.7.")
SHORTCUT_LAYERS = (".shortcut.0.", ".shortcut.1.")
STEM_LAYERS = ("backbone.stem.0.", "backbone.stem.1.")


@dataclass(frozen=True)
class Naming:
    """How a project names weights.

    Attributes:
        project: its name, for messages.
        marks: how some names of every network start, which no other project's do.
        stem: of the stem's convolution and norm.
        stages: of the four stages, up to the number of a block.
        layers: of a block's three convolutions and norms in turn.
        shortcut: of the shortcut's convolution and norm.
        classifier: of the last layer.
    """

    project: str
    marks: tuple[str, ...]
    stem: tuple[str, str]
    stages: tuple[str, ...]
    layers: tuple[str, ...]
    shortcut: tuple[str, str]
    classifier: str

    def name_there(self, name: str) -> str:
        """Return the project's name for one of ours, or for the beginning of one."""
        if name.startswith("fc."):
            return self.classifier + name.removeprefix("fc.")

        own_stages = [f"backbone.{stage}." for stage in STAGES]
        own = (*STEM_LAYERS, *own_stages, *LAYERS, *SHORTCUT_LAYERS)
        there = (*self.stem, *self.stages, *self.layers, *self.shortcut)
        for own_part, part in zip(own, there, strict=True):
            name = name.replace(own_part, part)
        return name


def pytorchvideo_naming(arch: Architecture) -> Naming:
    """Return the names of pytorchvideo, which numbers the pooling behind res2 among its blocks."""
    numbers = (1, 2, 3, 4, 5)
    if arch.res2_pool_temporal_stride > 1:
        numbers = (1, 3, 4, 5, 6)
    *stages, head = numbers

    return Naming(
        project="pytorchvideo",
        marks=("blocks.0.conv.", "blocks.1.res_blocks.", "model.blocks."),
        stem=("blocks.0.conv.", "blocks.0.norm."),
        stages=tuple(f"blocks.{number}.res_blocks." for number in stages),
        layers=tuple(f".branch2.{kind}_{letter}." for letter in "abc" for kind in ("conv", "norm")),
        shortcut=(".branch1_conv.", ".branch1_norm."),
        classifier=f"blocks.{head}.proj.",
    )


SLOWFAST = Naming(
    project="SlowFast",
    marks=("s1.pathway0_stem.", "s2.pathway0_res0."),
    stem=("s1.pathway0_stem.conv.", "s1.pathway0_stem.bn."),
    stages=tuple(f"s{number}.pathway0_res" for number in (2, 3, 4, 5)),
    layers=tuple(f".branch2.{letter}{kind}." for letter in "abc" for kind in ("", "_bn")),
    shortcut=(".branch1.", ".branch1_bn."),
    classifier="head.projection.",
)
MMACTION = Naming(
    project="MMAction2",
    marks=("backbone.conv1.conv.", "backbone.layer1."),
    stem=("backbone.conv1.conv.", "backbone.conv1.bn."),
    stages=tuple(f"backbone.layer{number}." for number in (1, 2, 3, 4)),
    layers=tuple(f".conv{number}.{kind}." for number in (1, 2, 3) for kind in ("conv", "bn")),
    shortcut=(".downsample.conv.", ".downsample.bn."),
    classifier="cls_head.fc_cls.",
)


def find_naming(state: Mapping[str, Tensor], arch: Architecture) -> Naming | None:
    """Return whose names the weights have, or None where it is none of these projects'."""
    for naming in (pytorchvideo_naming(arch), SLOWFAST, MMACTION):
        if any(name.startswith(naming.marks) for name in state):
            return naming
    return None
