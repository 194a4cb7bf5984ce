"""Weights of pytorchvideo, SlowFast and MMAction2 under our names, classifier included."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from video_rs.models.architecture import Architecture, describe_differences, describe_overrides
from video_rs.models.resnet3d import ResNet3d
from video_rs.models.weights.strict import keep_classifier_of_other_classes, names_left_out, require_fit, warn
from video_rs.models.weights.video_names import MMACTION, SLOWFAST, Naming, pytorchvideo_naming
from video_rs.runtime.errors import InputError

# What these networks have in common.
VIDEO_FIELDS = {
    "block": "bottleneck",
    "stem": "plain",
    "stem_pool": "max",
    "shortcut": "projection",
    "se_ratio": 0.0,
    "self_gating": False,
    "padding": "symmetric",
    "norm_eps": 1e-5,
}
# Neither names nor shapes of weights tell how a network strides in time. Those of pytorchvideo do not; the other
# projects have configurations that do.
TIME_FIELDS = {"stem_temporal_stride": 1, "stem_pool_temporal_stride": 1, "temporal_strides": (1, 1, 1, 1)}
ADVICE = "take slow_r50, c2d_r50 or i3d_r50"


def from_pytorchvideo(
    state_dict: Mapping[str, Tensor], model: nn.Module, source: str = "the state dict"
) -> dict[str, Tensor]:
    """Return a state dict for ``model`` from one of pytorchvideo's ``slow_r50``, ``c2d_r50`` or ``i3d_r50``.

    A classifier of another number of classes is left out with a warning: the model's own takes its place. Missing
    batch counters (``num_batches_tracked``) count from 0. Networks with a RoI head are taken, too.

    Args:
        state_dict: names and tensors of the network, ``model_state`` of a published file.
        model: a VideoClassifier, a module with such a ``backbone`` alone, or a ResNet3d: for that one the classifier
            and the stages it lacks are left out.
        source: where the weights are from, for messages.

    Raises:
        InputError: the model is another network, or a weight is missing, unknown or of another shape.
    """
    return _converted(state_dict, model, pytorchvideo_naming(_architecture(model)), source)


def from_slowfast(
    state_dict: Mapping[str, Tensor], model: nn.Module, source: str = "the state dict"
) -> dict[str, Tensor]:
    """Return a state dict for ``model`` from SlowFast's names of the same networks; see :func:`from_pytorchvideo`."""
    return _converted(state_dict, model, SLOWFAST, source)


def from_mmaction(
    state_dict: Mapping[str, Tensor], model: nn.Module, source: str = "the state dict"
) -> dict[str, Tensor]:
    """Return a state dict for ``model`` from MMAction2's names of the same networks; see :func:`from_pytorchvideo`."""
    return _converted(state_dict, model, MMACTION, source)


def renamed(
    state: Mapping[str, Tensor], module: nn.Module, naming: Naming, source: str, skip: tuple[str, ...] = ()
) -> dict[str, Tensor]:
    """Return weights under the names of ``module``, with batch counters; unknown ones keep the names they have.

    Weights whose names (ours) start like those in ``skip`` are left out.

    Raises:
        InputError: ``module`` is another kind of network.
    """
    subject = f"weights in {source} are {naming.project}'s and"
    _require_video_fields(module.backbone.architecture, subject)
    _look_at_time(module.backbone.architecture, naming, subject)
    own_names = {naming.name_there(name): name for name in module.state_dict()}

    found = {}
    for name, own in own_names.items():
        if name.endswith("num_batches_tracked"):
            found[own] = torch.tensor(0)
    left_out = tuple(naming.name_there(name) for name in skip)
    for name, value in without_roi_head(state, naming).items():
        if name.startswith(left_out):
            continue
        found[own_names.get(name, name)] = value
    return found


def _differing(arch: Architecture, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of ``fields`` that an architecture has otherwise."""
    return {field: value for field, value in fields.items() if getattr(arch, field) != value}


def _require_video_fields(arch: Architecture, subject: str) -> None:
    """Raise InputError, starting with ``subject``, unless a network has the layers of these projects."""
    differing = _differing(arch, VIDEO_FIELDS)
    if differing:
        raise InputError(f"{subject} do not fit the model: {describe_differences(differing, arch)}; {ADVICE}")


def _look_at_time(arch: Architecture, naming: Naming, subject: str) -> None:
    """Raise InputError where pytorchvideo's networks stride otherwise in time; warn where nothing says how they did.

    The weights fit such a network, and would answer something else.
    """
    differing = _differing(arch, TIME_FIELDS)
    if not differing:
        return
    if naming.project == "pytorchvideo":
        raise InputError(
            f"{subject} do not fit the model: {describe_differences(differing, arch)}; set "
            f"{describe_overrides(differing)}"
        )
    strides = describe_overrides({field: getattr(arch, field) for field in differing})
    warn(f"{subject} do not say how their network strides in time; they are right here if it had {strides}")


def _converted(state_dict: Mapping[str, Tensor], model: nn.Module, naming: Naming, source: str) -> dict[str, Tensor]:
    """Return a state dict for ``model`` from another project's, strictly."""
    if isinstance(model, ResNet3d):
        left_out = tuple(naming.name_there(name) for name in names_left_out(model.stages))
        state_dict = without_roi_head(state_dict, naming)
        kept = {name: value for name, value in state_dict.items() if not name.startswith(left_out)}
        state = _converted(kept, nn.ModuleDict({"backbone": model}), naming, source)
        return {name.removeprefix("backbone."): value for name, value in state.items()}

    state = renamed(state_dict, model, naming, source)
    state, warning = keep_classifier_of_other_classes(state, model, source)
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    require_fit(state, shapes, source, naming.name_there)
    warn(warning)
    return {name: state[name] for name in shapes}


def without_roi_head(state: Mapping[str, Tensor], naming: Naming) -> dict[str, Tensor]:
    """Return weights under the names of a classifier, where pytorchvideo has them in a network with a RoI head."""
    found = {}
    for name, value in state.items():
        if name.startswith("model.blocks."):
            name = name.removeprefix("model.")
        elif name.startswith("detection_head.proj."):
            name = naming.classifier + name.removeprefix("detection_head.proj.")
        found[name] = value
    return found


def _architecture(model: nn.Module) -> Architecture:
    return model.architecture if isinstance(model, ResNet3d) else model.backbone.architecture
