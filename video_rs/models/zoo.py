"""The models by name: depths and presets are data, and three functions make models of them."""

import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from video_rs.errors import InputError
from video_rs.models.architecture import STAGES, Architecture
from video_rs.models.classifier import VideoClassifier
from video_rs.models.pretrained import load_pretrained
from video_rs.models.resnet3d import ResNet3d

DEPTHS = {
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
    270: (4, 29, 53, 4),
    300: (4, 36, 54, 4),
    350: (4, 36, 72, 4),
    420: (4, 44, 87, 4),
}

# Model Garden's R3D-RS (FACTS b) is Architecture's own default.
R3D_RS = Architecture(depths=DEPTHS[50])
# Image ResNet-RS (FACTS a; timm's resnetrs*) inflated in time. Stochastic depth 0.1 from depth 200 on, as published.
INFLATED_RS = replace(
    R3D_RS,
    stem_pool="conv",
    shortcut="avgpool",
    self_gating=False,
    stochastic_depth=0.0,
    stochastic_depth_rule="block",
    dropout=0.25,
    padding="symmetric",
    norm_momentum=0.1,
    initialization="tpu",
)
# Trained from scratch on two CPU cores in minutes: no gates, no dropout, light stochastic depth.
SMALL = replace(
    R3D_RS,
    block="basic",
    temporal_kernels=(3, 3, 3, 3),
    self_gating=False,
    stochastic_depth=0.0,
    dropout=0.0,
    norm_momentum=0.1,
)

ARCHITECTURES: dict[str, Architecture] = {
    **{f"r3d_rs_{d}": replace(R3D_RS, depths=DEPTHS[d]) for d in (50, 101, 152, 200, 270, 300, 350)},
    **{
        f"inflated_rs_{d}": replace(INFLATED_RS, depths=DEPTHS[d], stochastic_depth=0.1 if d >= 200 else 0.0)
        for d in (50, 101, 152, 200, 270, 350, 420)
    },
    # Where the additive study starts: the same network without SE, with one 5 x 7 x 7 stem convolution.
    "r3d_50": replace(R3D_RS, stem="plain", se_ratio=0.0),
    "r3d_rs_tiny": replace(SMALL, depths=(1, 1, 1, 1), width=0.25),
    "r3d_rs_small": replace(SMALL, depths=(2, 2, 2, 2), width=0.5),
}


def list_models(pattern: str = "*") -> list[str]:
    """Names of the models that match a shell-style pattern, in the zoo's order."""
    return fnmatch.filter(ARCHITECTURES, pattern)


def architecture(name: str, **overrides) -> Architecture:
    """The named architecture with fields of :class:`Architecture` replaced.

    Raises:
        InputError: an unknown name or field (the nearest one is named), or a value that is not allowed.
    """
    if name not in ARCHITECTURES:
        near = difflib.get_close_matches(name, ARCHITECTURES, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(ARCHITECTURES)}"
        raise InputError(f"unknown model {name!r}; {hint}")
    return ARCHITECTURES[name].replaced(overrides)


def create_model(name: str, num_classes: int = 400, pretrained: str | None = None, **overrides) -> VideoClassifier:
    """A classifier with fresh weights, or with those of a checkpoint.

    Args:
        name: one of :func:`list_models`.
        num_classes: width of the last layer.
        pretrained: path of a checkpoint of this project; its EMA weights are loaded, strictly.
        **overrides: fields of :class:`Architecture`.
    """
    model = VideoClassifier(architecture(name, **overrides), num_classes)
    if pretrained is not None:
        load_pretrained(model, pretrained)
    return model


def create_backbone(
    name: str, out_features: Sequence[str] = STAGES, pretrained: str | None = None, **overrides
) -> ResNet3d:
    """A backbone that returns the named feature maps, without the stages behind the last of them.

    Arguments as for :func:`create_model`; ``pretrained`` takes a classifier's checkpoint, of which the classifier and
    the stages left out are skipped.
    """
    backbone = ResNet3d(architecture(name, **overrides), out_features)
    if pretrained is not None:
        left_out = [f"backbone.{name}." for name in STAGES if name not in backbone.stages]
        load_pretrained(nn.ModuleDict({"backbone": backbone}), pretrained, skip=("fc.", *left_out))
    return backbone
