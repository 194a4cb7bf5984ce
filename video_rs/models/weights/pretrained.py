"""Weights from a file or from timm into a model: one reader for all kinds, image weights inflated on the way."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from video_rs.models.architecture import DEPTHS, STAGES, Architecture, differences, settings
from video_rs.models.weights.inflate import (
    IMAGE_FIELDS,
    image_name,
    image_preprocessing,
    inflate_image_weights,
    is_image_state,
)
from video_rs.models.weights.strict import (
    CLASSIFIER,
    classifier_by_name,
    keep_classifier_of_other_classes,
    load_strictly,
    warn,
)
from video_rs.runtime.errors import InputError
from video_rs.runtime.torch_files import find_checkpoint, first_sentence, read_torch_file

__all__ = ["find_weights", "load_pretrained", "load_strictly", "read_weights"]

TIMM_NAMES = {DEPTHS[depth]: f"resnetrs{depth}" for depth in (50, 101, 152, 200, 270, 350, 420)}
# What DistributedDataParallel and Lightning put before all names; none of ours, and none of timm's, starts so.
WRAPPERS = ("module.", "model.")
BACKBONE = "backbone."
# What a checkpoint may say of its weights.
ABOUT = ("architecture", "label_names", "preprocessing", "config")
# How all names in the state dict of a backbone alone start.
PARTS = ("stem.", "stem_pool.", *(f"{name}." for name in STAGES))
# What all of timm's resnetrs* have in common; fields of time and of training are free.
TIMM_FIELDS = {
    "block": "bottleneck",
    "width": 1.0,
    "stem": "deep",
    "stem_pool": "conv",
    "shortcut": "avgpool",
    "se_ratio": 0.25,
    "self_gating": False,
    **IMAGE_FIELDS,
}


class Weights(NamedTuple):
    """Weights from somewhere.

    Attributes:
        state: names and tensors, on the CPU.
        about: what a checkpoint says beside them, as far as it does: ``architecture``, ``label_names``,
            ``preprocessing`` and ``config``.
        source: where they are from, for messages.
    """

    state: dict[str, Tensor]
    about: Mapping[str, Any]
    source: str


def load_pretrained(
    module: nn.Module,
    source: str | Path,
    inflation: str = "centre",
    skip: tuple[str, ...] = (),
    label_names: Sequence[str] | None = None,
) -> tuple[Weights, str]:
    """Loads weights into ``module``, strictly but for a classifier of another number of classes, which is said.

    A checkpoint of this project says which network its weights were made for. ``module`` must be that one, but for
    fields of training alone (``architecture.TRAINING_ONLY``), and for ``res5_dilation=2``, which has to be asked for:
    detection dilates a trained network's res5 on purpose, and trains it further. A state dict says nothing, and is
    taken where names and shapes fit.

    Args:
        module: a VideoClassifier, or a module with a ``backbone`` alone.
        source: "timm" (the ``resnetrs*`` of the same depth, downloaded or from timm's cache), or a file that
            :func:`read_weights` reads. Image weights are known by their names and inflated; names of a backbone alone
            get "backbone." before them.
        inflation: "centre" or "mean", for image weights; see :func:`inflate_image_weights`.
        skip: weights whose names (ours) start so are left out; all others must be in ``module``.
        label_names: of the module's classes; the classifier of a checkpoint that names its own is taken over by name.

    Returns:
        What has been loaded, as it was found, and what became of the classifier, in words; "" where it is as it was, or
        where that has been logged.

    Raises:
        InputError: the weights cannot be had or read, or they do not fit.
    """
    found = find_weights(source, module.backbone.architecture)
    state, about, source = found
    is_image = is_image_state(state)
    if not is_image:
        _require_same_network(about.get("architecture"), module.backbone.architecture, source)
        state = _with_backbone_prefix(state)
    left_out = tuple(map(image_name, skip)) if is_image else skip
    state = {name: value for name, value in state.items() if not name.startswith(left_out)}
    if is_image:
        state = inflate_image_weights(state, module, inflation, source)
    theirs = about.get("label_names")
    if label_names is not None and theirs and not is_image and _names_classes(state, theirs):
        state, words = classifier_by_name(state, module, theirs, label_names)
        load_strictly(module, state, source)
        return found, words

    state, note = keep_classifier_of_other_classes(state, module, source)
    load_strictly(module, state, source)
    warn(note)
    as_it_is = _names_classes(found.state, label_names or ())
    return found, "its classes have no names, so the classifier is taken as it is" if as_it_is else ""


def _names_classes(state: Mapping[str, Tensor], names: Sequence[str]) -> bool:
    """Return whether there is a name for each class of the classifier."""
    weight = state.get(CLASSIFIER + "weight")
    return weight is not None and len(weight) == len(names)


def find_weights(source: str | Path, architecture: Architecture) -> Weights:
    """The weights in a file, or with "timm" those of timm's image network like ``architecture``.

    Raises:
        InputError: there are none, or they cannot be read.
    """
    if str(source) != "timm":
        return _read_file(find_checkpoint(source))
    name = timm_name(architecture)
    about = {"preprocessing": image_preprocessing(architecture)}
    return Weights(_timm_weights(name), about, f"timm's {name}")


def _require_same_network(stored: Any, ours: Architecture, source: str) -> None:
    """Raises InputError, naming the fields, where a checkpoint's network is another one than ``ours``."""
    if not isinstance(stored, Mapping) or "depths" not in stored:
        return  # nothing, or what another project has under this name
    try:
        theirs = Architecture(**stored)
    except (TypeError, InputError) as error:
        raise InputError(
            f"{source} describes a network that this version does not know ({first_sentence(error)}); take the version "
            "of video_rs that wrote it"
        ) from error
    others = {name: getattr(theirs, name) for name in theirs.differing_fields(ours)}
    if ours.res5_dilation == 2:
        others.pop("res5_dilation", None)
    if others:
        raise InputError(
            f"weights in {source} were made for another network: {differences(others, ours)}; set {settings(others)}, "
            "or make the model that they were made for"
        )


def _with_backbone_prefix(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """``state`` with a classifier's names where it is that of a backbone alone."""
    if any(name.startswith((BACKBONE, CLASSIFIER)) for name in state):
        return state
    return {BACKBONE * name.startswith(PARTS) + name: value for name, value in state.items()}


def require_source(pretrained: str | Path) -> None:
    """Raises InputError unless ``pretrained`` can name weights."""
    if not isinstance(pretrained, (str, Path)):
        raise InputError(
            f"pretrained is {pretrained!r}; allowed: the path of a .pth, .pt or .safetensors file, None, or 'timm' for "
            "the image weights of an inflated_rs_* network"
        )


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The state dict in a file, on the CPU, read without running code.

    Args:
        path: a checkpoint of this project (its "ema", or "model" where there is none), a state dict that torch.save
            wrote, plain or under "state_dict", or a ``.safetensors`` file. "module." or "model." before all names is
            taken away. A warning says what was not plain.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    return _read_file(find_checkpoint(path)).state


def _read_file(path: Path) -> Weights:
    if not path.is_file():
        raise InputError(f"no weights at {path}; give a .pth, .pt or .safetensors file, or 'timm'")
    if path.suffix == ".safetensors":
        return Weights(_without_prefix(_read_safetensors(path), path), {}, str(path))
    content, where, about = read_torch_file(path), "", {}
    if isinstance(content, dict) and ("model" in content or "ema" in content):
        about = {key: content[key] for key in ABOUT if key in content}
        content = content.get("ema") or content.get("model")
    elif isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content, where = content["state_dict"], "those under 'state_dict'"
    is_state = isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    )
    if not is_state or not content:
        raise InputError(
            f"no weights in {path}; allowed: a state dict, plain or under 'state_dict', or a dict of state dicts "
            "'model' and 'ema'"
        )
    return Weights(_without_prefix(content, path, where), about, str(path))


def _without_prefix(state: Mapping[str, Tensor], path: Path, where: str = "") -> dict[str, Tensor]:
    """``state`` without what a wrapper put before all names; one line says so, and ``where`` the weights were."""
    prefix = next((prefix for prefix in WRAPPERS if state and all(name.startswith(prefix) for name in state)), "")
    changes = [where] * bool(where) + [f"without {prefix!r} before their names"] * bool(prefix)
    warn(f"weights of {path}: taken are {', '.join(changes)}" if changes else "")
    return {name.removeprefix(prefix): value for name, value in state.items()}


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise InputError(f"{path} needs a package: pip install safetensors; or give a .pth file") from error
    try:
        return load_file(path)
    except Exception as error:  # its own error type for foreign bytes, OSError and others for the rest
        raise InputError(f"{path} is damaged, cut short or no safetensors file ({first_sentence(error)})") from error


def timm_name(architecture: Architecture) -> str:
    """timm's image network of the same depth and layers.

    Raises:
        InputError: there is none.
    """
    others = [
        f"{field} {getattr(architecture, field)!r} (timm: {value!r})"
        for field, value in TIMM_FIELDS.items()
        if getattr(architecture, field) != value
    ]
    if architecture.depths not in TIMM_NAMES:
        others.insert(0, f"depths {architecture.depths} (timm: those of {', '.join(TIMM_NAMES.values())})")
    if others:
        raise InputError(f"timm has no image network like this one: {'; '.join(others)}; take an inflated_rs_* model")
    return TIMM_NAMES[architecture.depths]


def _timm_weights(name: str) -> dict[str, Tensor]:
    try:
        import timm
    except ImportError as error:
        raise InputError("pretrained 'timm' needs a package: pip install timm; or give a weights file") from error
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # offline, refused or interrupted downloads raise types of several packages
        raise InputError(
            f"timm cannot get the weights of {name} ({first_sentence(error)}); "
            "try again with a network, or give the path of a downloaded file"
        ) from error
