"""Weights of TensorFlow Model Garden's 3D ResNets (R3D-RS and ``resnet_3d``) under this project's names.

Sources: tf-models-official 2.20, ``official/vision/modeling``: ``backbones/resnet_3d.py``, ``layers/nn_blocks_3d.py``,
``video_classification_model.py``, and ``official/modeling/optimization/ema_optimizer.py``; their checkpoints' keys are
paths in the object graph, ``backbone/layer_with_weights-6/_norm1/gamma/.ATTRIBUTES/VARIABLE_VALUE``.
A *path* here is a key without its suffix, its slot and the choice of one of two prefixes.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from video_rs.models.architecture import Architecture
from video_rs.models.resnet3d import ResNet3d
from video_rs.models.weights.strict import listed
from video_rs.runtime.errors import InputError

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
AVERAGE = "/.OPTIMIZER_SLOT/optimizer/average"
# What a trainer saves beside the weights.
BOOKKEEPING = ("_CHECKPOINTABLE_OBJECT_GRAPH", "global_step" + SUFFIX, "save_counter" + SUFFIX)
OPTIMIZER = "optimizer/"
MOMENTA = ("/.OPTIMIZER_SLOT/optimizer/momentum", "/.OPTIMIZER_SLOT/optimizer/ema_base_optimizer/momentum")

BACKBONE = "backbone/"
HEAD = "model/layer_with_weights-1/"
# Where the backbone is where only the model was saved, ``Checkpoint(model=...)``.
BACKBONE_IN_MODEL = "model/layer_with_weights-0/"

LAYERS = {
    "": "",  # the stem's layers are layers of the network themselves
    "shortcut.0": "_shortcut_conv/",
    "shortcut.1": "_norm0/",
    "branch.0": "_temporal_conv/",
    "branch.1": "_norm1/",
    "branch.3": "_spatial_conv/",
    "branch.4": "_norm2/",
    "branch.6": "_expand_conv/",
    "branch.7": "_norm3/",
    "gating.gate": "_self_gating/_transformer_w/",
    "se.reduce": "_squeeze_excitation/_se_reduce/",
    "se.expand": "_squeeze_excitation/_se_expand/",
}
NORM = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
KERNEL = {"weight": "kernel", "bias": "bias"}
STATISTICS = ("/moving_mean", "/moving_variance")
# Weights of another kind of network may fit by name and shape, and compute something else.
REQUIRED = {"block": "bottleneck", "stem_pool": "max", "shortcut": "projection", "padding": "same"}


def from_model_garden(
    variables: Mapping[str, Any], model: nn.Module, average: bool | str = "auto"
) -> dict[str, Tensor]:
    """Return the state dict of ``model`` from the variables of a Model Garden checkpoint.

    Args:
        variables: ``{checkpoint key: float array}``, NumPy's or alike, in TensorFlow's layouts: kernels
            ``[kt, kh, kw, in, out]``, those of squeeze-and-excitation ``[1, 1, in, out]``, the classifier's
            ``[in, out]``. Book-keeping keys and momentum slots are left out.
        model: a ``VideoClassifier``, or a ``ResNet3d`` for a checkpoint without classifier.
        average: True takes the moving averages (the optimizer's slots), False the variables themselves, "auto" the
            averages where there are any. Batch norm's statistics were averaged in some trainings only
            (``trainable_weights_only``); where they were not, they are taken as they are. In the trainer's
            ``ema_checkpoints/average_weights-*`` variables and slots are swapped: False is right there.

    Returns:
        Every name of ``model.state_dict()`` with a tensor of its own: the arrays' float type, PyTorch's layouts, and
        the model's own ``num_batches_tracked``.

    Raises:
        InputError: the model is none of Model Garden's, or a variable is missing, unknown, there twice or of another
            shape. Nothing is excepted, the classifier included.
    """
    if average not in ("auto", True, False):
        raise InputError(f"average is {average!r}; allowed: 'auto', True, False")
    names = model_garden_names(model)
    own = model.state_dict()
    found = _by_path(variables)

    # All problems go into one message.
    keys = found.raw
    problems = [
        listed("missing", [f"{path} for {name}" for path, name in names.items() if path not in keys]),
        listed("unknown", [key for path, key in {**found.averages, **keys}.items() if path not in names]),
        listed("there twice", found.claimed_twice),
    ]
    takes_averages = bool(found.averages) if average == "auto" else average
    if takes_averages:
        problems.append(listed("without a moving average", _lacking_averages(names, found.averages)))
        keys = {**keys, **found.averages}

    # Shapes are compared for what is there.
    arrays = {path: variables[keys[path]] for path in names if path in keys}
    misfits = [_misfit(path, array, own[names[path]]) for path, array in arrays.items()]
    problems.append(listed("of another shape", [misfit for misfit in misfits if misfit]))

    problems = [problem for problem in problems if problem]
    if problems:
        raise InputError(
            f"the checkpoint does not fit the model: {'; '.join(problems)}; make the model with the "
            "checkpoint's architecture and num_classes (nothing is excepted, the classifier included)"
        )

    # What no variable stands for are the counters of batch norm.
    state = {name: value.clone() for name, value in own.items()}
    for path, array in arrays.items():
        state[names[path]] = _as_torch(array, own[names[path]])
    return state


def model_garden_names(model: nn.Module) -> dict[str, str]:
    """Return ``{path: name in model.state_dict()}`` of every weight and statistic.

    Raises:
        InputError: the model's architecture is none of Model Garden's.
    """
    is_backbone = isinstance(model, ResNet3d)
    backbone = model if is_backbone else model.backbone
    prefix = "" if is_backbone else "backbone."
    _require_model_garden(backbone.architecture)

    numbers: dict[str, int] = {}
    paths = {}
    state = backbone.state_dict()
    for name in state:
        # stem.3.weight, res2.0.branch.0.weight: layers and blocks are numbered in the order of the forward pass.
        stage, index, *inner, leaf = name.split(".")
        if leaf == "num_batches_tracked":
            continue
        number = numbers.setdefault(f"{stage}.{index}", len(numbers))
        layer = LAYERS[".".join(inner)]
        is_norm = name.removesuffix(leaf) + "running_mean" in state
        variable = NORM[leaf] if is_norm else KERNEL[leaf]
        paths[f"{BACKBONE}layer_with_weights-{number}/{layer}{variable}"] = prefix + name

    if not is_backbone:
        for leaf, variable in KERNEL.items():
            paths[HEAD + variable] = f"fc.{leaf}"
    return paths


def _require_model_garden(arch: Architecture) -> None:
    """Raise InputError where an architecture is none of Model Garden's."""
    differing = {}
    for field, value in REQUIRED.items():
        own = getattr(arch, field)
        if own != value:
            differing[field] = own
    if differing:
        raise InputError(
            f"the model is none of Model Garden's: {_settings(differing)}; allowed: {_settings(REQUIRED)}, as in "
            "r3d_rs_50"
        )


def number_of_classes(variables: Mapping[str, Any]) -> int:
    """Return how many classes the checkpoint's classifier has.

    Raises:
        InputError: the checkpoint has none.
    """
    key = HEAD + "kernel" + SUFFIX
    if key not in variables:
        raise InputError(f"the checkpoint has no classifier: no {key}")
    return variables[key].shape[-1]


def has_averages(variables: Mapping[str, Any]) -> bool:
    """Return whether the optimizer kept moving averages of the weights."""
    return any(key.endswith(AVERAGE + SUFFIX) for key in variables)


def is_bookkeeping(key: str) -> bool:
    """Return whether a checkpoint key is the trainer's own: counters, settings of the optimizer, momenta."""
    return key in BOOKKEEPING or key.startswith(OPTIMIZER) or key.removesuffix(SUFFIX).endswith(MOMENTA)


def tensorflow_shape(path: str, weight: Tensor) -> tuple[int, ...]:
    """Return the shape of the variable behind a weight of ours: channels last."""
    if weight.dim() < 2:
        return tuple(weight.shape)
    out_channels, in_channels, *kernel = weight.shape
    if "/_squeeze_excitation/" in path:  # convolves in 2D there
        kernel = kernel[1:]
    return (*kernel, in_channels, out_channels)


def _misfit(path: str, array: Any, weight: Tensor) -> str:
    """Return what is wrong with an array's shape or type; "" if it fits."""
    shape = tensorflow_shape(path, weight)
    if tuple(array.shape) == shape and str(array.dtype) in ("float16", "float32", "float64"):
        return ""
    return f"{path}: {array.dtype} {list(array.shape)} there, float {list(shape)} here"


def _as_torch(array: Any, weight: Tensor) -> Tensor:
    """Return an array as a tensor of the weight's shape; vectors stay as they are."""
    tensor = torch.tensor(array)
    if tensor.dim() > 1:
        tensor = tensor.movedim((-1, -2), (0, 1))  # [*kernel, in, out] -> [out, in, *kernel]
        tensor = tensor.reshape(weight.shape)
    return tensor.contiguous()


class _Paths(NamedTuple):
    """A checkpoint's keys by path.

    Attributes:
        raw: ``{path: key}`` of the variables themselves.
        averages: ``{path: key}`` of their moving averages.
        claimed_twice: paths that two keys claim.
    """

    raw: dict[str, str]
    averages: dict[str, str]
    claimed_twice: list[str]


def _by_path(variables: Mapping[str, Any]) -> _Paths:
    """Return the keys of the variables and of their moving averages by path."""
    found = _Paths({}, {}, [])
    for key in variables:
        if is_bookkeeping(key):
            continue
        path = key.removesuffix(SUFFIX)
        keys = found.averages if path.endswith(AVERAGE) else found.raw
        path = path.removesuffix(AVERAGE)
        if path.startswith(BACKBONE_IN_MODEL):
            path = BACKBONE + path.removeprefix(BACKBONE_IN_MODEL)

        if path in keys:
            found.claimed_twice.append(path)
        keys[path] = key
    return found


def _lacking_averages(names: Mapping[str, str], averages: Mapping[str, str]) -> list[str]:
    """Return the paths that lack an average: all weights need one, and the statistics if any of them has one."""
    statistics_were_averaged = any(path.endswith(STATISTICS) for path in averages)
    lacking = []
    for path in names:
        needs_average = statistics_were_averaged or not path.endswith(STATISTICS)
        if needs_average and path not in averages:
            lacking.append(path)
    return lacking


def _settings(fields: Mapping[str, Any]) -> str:
    """Return ``block bottleneck, padding same``, for a refusal."""
    return ", ".join(f"{field} {value}" for field, value in fields.items())
