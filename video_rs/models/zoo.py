"""The models by name: depths and presets are data, and three functions make models of them."""

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from video_rs.models.architecture import DEPTHS, STAGES, Architecture
from video_rs.models.classifier import VideoClassifier
from video_rs.models.pytorchvideo_networks import PYTORCHVIDEO_NETWORKS
from video_rs.models.resnet3d import ResNet3d
from video_rs.models.weights.preprocessing import pretrained_spec
from video_rs.models.weights.pretrained import load_pretrained, require_source
from video_rs.models.weights.strict import names_left_out
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest

Network = TypeVar("Network", bound=nn.Module)

# The Model Garden's R3D-RS is Architecture's own default.
R3D_RS = Architecture(depths=DEPTHS[50])
# Image ResNet-RS (timm's resnetrs*) inflated in time. Stochastic depth 0.1 from depth 200 on, as published.
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
# Trained from scratch on two CPU cores in minutes: no gates, no dropout, no stochastic depth.
SMALL = replace(
    R3D_RS,
    block="basic",
    temporal_kernels=(3, 3, 3, 3),
    self_gating=False,
    stochastic_depth=0.0,
    dropout=0.0,
    norm_momentum=0.1,
)


def _named_architectures() -> dict[str, Architecture]:
    """Return ``{name of the model: architecture}``, in the order in which models are listed."""
    named = {}
    for depth in (50, 101, 152, 200, 270, 300, 350):
        named[f"r3d_rs_{depth}"] = replace(R3D_RS, depths=DEPTHS[depth])
    for depth in (50, 101, 152, 200, 270, 350, 420):
        drop_rate = 0.1 if depth >= 200 else 0.0
        named[f"inflated_rs_{depth}"] = replace(INFLATED_RS, depths=DEPTHS[depth], stochastic_depth=drop_rate)

    # Where the additive study starts: the same network without SE, with one 5 x 7 x 7 stem convolution.
    named["r3d_50"] = replace(R3D_RS, stem="plain", se_ratio=0.0)
    named |= PYTORCHVIDEO_NETWORKS
    named["r3d_rs_tiny"] = replace(SMALL, depths=(1, 1, 1, 1), width=0.25)
    named["r3d_rs_small"] = replace(SMALL, depths=(2, 2, 2, 2), width=0.5)
    return named


ARCHITECTURES = _named_architectures()


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the models that match a shell-style pattern, in the zoo's order."""
    return fnmatch.filter(ARCHITECTURES, pattern)


def architecture(name: str, /, **overrides) -> Architecture:
    """Return the named architecture with fields of :class:`Architecture` replaced.

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
    """Return a classifier with fresh weights, or with trained ones.

    The network is the plain one: :func:`video_rs.models.fast.speed_up` makes it faster, in training above all.

    Args:
        name: one of :func:`list_models`.
        num_classes: width of the last layer.
        pretrained: path of a checkpoint of this project (its EMA weights are taken), of a state dict (``.pth``,
            ``.safetensors``), or where to download from: "timm", "torchvision" (image weights, which are inflated) or
            "pytorchvideo" (``slow_r50``, ``c2d_r50``, ``i3d_r50``). Files of pytorchvideo, SlowFast and MMAction2 are
            known by their names of weights. What the weights were trained with is the model's ``pretrained_spec``. All
            must fit, but for a classifier of another number of classes: that starts afresh, with
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
    # A file may have another number of classes: the classifier then keeps these fresh weights.
    model.reset_classifier(num_classes)
    found, _ = load_pretrained(model, pretrained)
    model.pretrained_spec = pretrained_spec(found)
    return model


def create_backbone(
    name: str, out_features: Sequence[str] = STAGES, pretrained: str | Path | None = None, **overrides
) -> ResNet3d:
    """Return a backbone that gives the named feature maps, without the stages behind the last of them.

    Of a classifier's weights the classifier and the stages left out are skipped. The state dict of a backbone alone is
    taken, too.

    Args:
        name: one of :func:`list_models`.
        out_features: names among "stem", "res2", "res3", "res4", "res5".
        pretrained: as for :func:`create_model`.
        **overrides: fields of :class:`Architecture`.

    Raises:
        InputError: an unknown name, feature or field, or weights that cannot be read or do not fit.
    """
    arch = architecture(name, **overrides)
    if pretrained is None:
        return ResNet3d(arch, out_features)

    require_source(pretrained)
    backbone = _without_weights(ResNet3d, arch, out_features)
    module = nn.ModuleDict({"backbone": backbone})
    found, _ = load_pretrained(module, pretrained, skip=names_left_out(backbone.stages))
    backbone.pretrained_spec = pretrained_spec(found)
    return backbone


def _without_weights(kind: type[Network], *arguments: object) -> Network:
    """Return a module in memory that is not filled: drawing weights that a file then replaces takes seconds."""
    device = torch.get_default_device()
    with torch.device("meta"):
        module = kind(*arguments)
    return module.to_empty(device=device)
