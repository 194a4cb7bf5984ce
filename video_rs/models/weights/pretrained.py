"""Pretrained weights into a model: from a file or a library, renamed or inflated on the way."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from video_rs.models.architecture import STAGES, Architecture, describe_differences, describe_overrides
from video_rs.models.weights.files import Weights, read_file
from video_rs.models.weights.inflate import image_name, inflate_image_weights, is_image_state
from video_rs.models.weights.preprocessing import with_preprocessing
from video_rs.models.weights.pytorchvideo_files import pytorchvideo_file
from video_rs.models.weights.strict import (
    CLASSIFIER,
    classifier_by_name,
    is_state_of_pretraining,
    keep_classifier_of_other_classes,
    load_strictly,
    warn,
    without_projection,
)
from video_rs.models.weights.timm_networks import timm_name, timm_weights, torchvision_name, torchvision_weights
from video_rs.models.weights.video_names import find_naming
from video_rs.models.weights.video_networks import renamed
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import first_sentence

IMAGE_LIBRARIES = ("timm", "torchvision")
LIBRARIES = (*IMAGE_LIBRARIES, "pytorchvideo")
"""Whose weights are asked for by the library's name."""
BACKBONE = "backbone."
# How all names in the state dict of a backbone alone start.
BACKBONE_PARTS = ("stem.", "stem_pool.", *(f"{name}." for name in STAGES))


def load_pretrained(
    module: nn.Module,
    source: str | Path,
    inflation: str = "centre",
    skip: tuple[str, ...] = (),
    label_names: Sequence[str] | None = None,
) -> tuple[Weights, str]:
    """Load weights into ``module``, strictly but for a classifier of another number of classes, which is said.

    A checkpoint of this project says which network its weights were made for. ``module`` must be that one, but for
    fields of training alone (``architecture.TRAINING_ONLY``), and for ``res5_dilation=2``, which has to be asked for:
    detection dilates a trained network's res5 on purpose, and trains it further. A state dict says nothing, and is
    taken where names and shapes fit.

    Args:
        module: a VideoClassifier, or a module with a ``backbone`` alone.
        source: "timm", "torchvision" or "pytorchvideo", downloaded or from its cache, or a file that
            :func:`read_weights` reads. By their names image weights are known, and inflated, and those of other video
            projects, and renamed; names of a backbone alone get "backbone." before them.
        inflation: "centre" or "mean", for image weights; see :func:`inflate_image_weights`.
        skip: weights whose names (ours) start like these are left out; all others must be in ``module``.
        label_names: of the module's classes; the classifier of a checkpoint that names its own is taken over by name.

    Returns:
        The weights that were found, before inflation and without any renaming, and a sentence on what became of the
        classifier; "" where nothing did, or where a warning has said what.

    Raises:
        InputError: the weights cannot be had or read, or they do not fit.
    """
    found = find_weights(source, module.backbone.architecture)
    if is_state_of_pretraining(found.state):
        return found, _load_pretraining(module, found, skip)

    is_image = is_image_state(found.state)
    naming = find_naming(found.state, module.backbone.architecture)
    name_there: Callable[[str], str] = naming.name_there if naming else str
    given = found.state
    if is_image:
        state = inflate_image_weights(_without(given, tuple(map(image_name, skip))), module, inflation, found.source)
    elif naming is not None:
        state = given = renamed(given, module, naming, found.source, skip)
    else:
        _require_same_network(found.about.get("architecture"), module.backbone.architecture, found.source)
        state = _without(_with_backbone_prefix(given), skip)

    # A checkpoint that names its classes gives each class of the same name its weights.
    names_there = found.about.get("label_names")
    if label_names is not None and names_there and not is_image and _names_classes(state, names_there):
        state, note = classifier_by_name(state, module, names_there, label_names)
        load_strictly(module, state, found.source, name_there)
        return found, note

    state, warning = keep_classifier_of_other_classes(state, module, found.source)
    load_strictly(module, state, found.source, name_there)
    warn(warning)  # once all else has been loaded

    if _names_classes(given, label_names or ()):
        return found, "its classes have no names, so the classifier is taken as it is"
    return found, ""


def _load_pretraining(module: nn.Module, found: Weights, skip: tuple[str, ...]) -> str:
    """Load the backbone of a pre-training run, and return a sentence on the classifier, which it has none of."""
    _require_same_network(found.about.get("architecture"), module.backbone.architecture, found.source)
    state, note = without_projection(_without(found.state, skip), module)
    load_strictly(module, state, found.source)
    return note


def find_weights(source: str | Path, architecture: Architecture) -> Weights:
    """Return the weights in a file, or a library's for a network like ``architecture``, with their preprocessing.

    Raises:
        InputError: there are none, or they cannot be read.
    """
    if str(source) == "timm":
        name = timm_name(architecture)
        found = Weights(timm_weights(name), {}, f"timm's {name}")
    elif str(source) == "torchvision":
        name = torchvision_name(architecture)
        found = Weights(torchvision_weights(name), {}, f"torchvision's {name}")
    elif str(source) == "pytorchvideo":
        found = read_file(pytorchvideo_file(architecture))
    else:
        found = read_file(source)
    return with_preprocessing(found, architecture)


def require_source(pretrained: str | Path) -> None:
    """Raise InputError unless ``pretrained`` can name weights."""
    if not isinstance(pretrained, (str, Path)):
        raise InputError(
            f"pretrained is {pretrained!r}; allowed: the path of a .pth, .pt or .safetensors file, None, 'timm' or "
            "'torchvision' for image weights, or 'pytorchvideo'"
        )


def stored_architecture(fields: Mapping[str, Any], source: str) -> Architecture:
    """Return the architecture that a checkpoint stores.

    Raises:
        InputError: it has a field that this version does not know.
    """
    try:
        return Architecture(**fields)
    except (TypeError, InputError) as error:
        raise InputError(
            f"{source} describes a network that this version does not know ({first_sentence(error)}); take the version "
            "of video_rs that wrote it"
        ) from error


def _require_same_network(stored: Any, own: Architecture, source: str) -> None:
    """Raise InputError, naming the fields, where a checkpoint's network is another one than ``own``."""
    if not isinstance(stored, Mapping) or "depths" not in stored:
        return  # nothing, or what another project has under this name
    other = stored_architecture(stored, source)
    differing = {name: getattr(other, name) for name in other.differing_fields(own)}
    # Detection dilates a trained network on purpose.
    if own.res5_dilation == 2:
        differing.pop("res5_dilation", None)
    if differing:
        raise InputError(
            f"weights in {source} were made for another network: {describe_differences(differing, own)}; set "
            f"{describe_overrides(differing)}, or make the model that they were made for"
        )


def _with_backbone_prefix(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return the state dict of a backbone alone with the names of a classifier, and any other one as it is."""
    if any(name.startswith((BACKBONE, CLASSIFIER)) for name in state):
        return state

    renamed = {}
    for name, value in state.items():
        prefix = BACKBONE if name.startswith(BACKBONE_PARTS) else ""
        renamed[prefix + name] = value
    return renamed


def _without(state: Mapping[str, Tensor], beginnings: tuple[str, ...]) -> dict[str, Tensor]:
    """Return ``state`` without the weights whose names start with one of ``beginnings``."""
    return {name: value for name, value in state.items() if not name.startswith(beginnings)}


def _names_classes(state: Mapping[str, Tensor], names: Sequence[str]) -> bool:
    """Return whether there is a name for each class of the classifier."""
    weight = state.get(CLASSIFIER + "weight")
    return weight is not None and len(weight) == len(names)
