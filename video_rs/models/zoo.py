"""The models by name: depths and presets are data, and three functions make models of them."""

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from video_rs.models.architecture import DEPTHS, STAGES, Architecture
from video_rs.models.classifier import VideoClassifier
from video_rs.models.resnet3d import ResNet3d
from video_rs.models.weights.pretrained import load_pretrained, require_source
from video_rs.models.weights.strict import names_left_out
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest

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
        near = nearest(name, ARCHITECTURES)
        hint = f"did you mean {near!r}?" if near else f"allowed: {', '.join(ARCHITECTURES)}"
        raise InputError(f"unknown model {name!r}; {hint}")
    return ARCHITECTURES[name].replaced(overrides)


def create_model(
    name: str, num_classes: int = 400, pretrained: str | Path | None = None, **overrides
) -> VideoClassifier:
    """A classifier with fresh weights, or with trained ones.

    Args:
        name: one of :func:`list_models`.
        num_classes: width of the last layer.
        pretrained: path of a checkpoint of this project (its EMA weights are taken), of a state dict (``.pth``,
            ``.safetensors``), or "timm". Weights of timm's ``resnetrs*``, which "timm" downloads, are inflated for
            ``inflated_rs_*``. All must fit, but for a classifier of another number of classes: that starts afresh, with
            a warning. A checkpoint says which network its weights were made for, and that must be this one; see
            :func:`load_pretrained` for what may differ.
        **overrides: fields of :class:`Architecture`.

    Raises:
        InputError: an unknown name or field, or weights that cannot be read or do not fit.
    """
    arch = architecture(name, **overrides)
    if pretrained is None:
        return VideoClassifier(arch, num_classes)
    require_source(pretrained)
    model = _without_weights(VideoClassifier, arch, num_classes)
    model.reset_classifier(num_classes)
    load_pretrained(model, pretrained)
    return model


def create_backbone(
    name: str, out_features: Sequence[str] = STAGES, pretrained: str | Path | None = None, **overrides
) -> ResNet3d:
    """A backbone that returns the named feature maps, without the stages behind the last of them.

    Arguments and errors as for :func:`create_model`; of a classifier's weights the classifier and the stages left out
    are skipped. The state dict of a backbone alone is taken too.
    """
    arch = architecture(name, **overrides)
    if pretrained is None:
        return ResNet3d(arch, out_features)
    require_source(pretrained)
    backbone = _without_weights(ResNet3d, arch, out_features)
    load_pretrained(nn.ModuleDict({"backbone": backbone}), pretrained, skip=names_left_out(backbone.stages))
    return backbone


def _without_weights(kind, *arguments):
    """A module in memory that is not filled: drawing weights that a file then replaces takes seconds."""
    device = torch.get_default_device()
    with torch.device("meta"):
        module = kind(*arguments)
    return module.to_empty(device=device)
