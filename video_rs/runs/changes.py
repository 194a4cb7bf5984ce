"""Whether a checkpoint and what is asked for now belong together: the refusals of --resume and --finetune."""

import os
from collections.abc import Mapping
from typing import Any

from video_rs.config import OPTIONS, PATH_KEYS, Config, config_from_text
from video_rs.engine.checkpoint import changed_keys, is_of_pretraining
from video_rs.models.weights.pretrained import stored_architecture
from video_rs.runs.run_folder import RunFolder
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize
from video_rs.video.fetching import is_url

MAY_CHANGE = tuple(option.key for option in OPTIONS if option.may_change)


def refuse_two_starts(config: Config, finetune: str) -> None:
    """Raise InputError where the command line and the config both name weights to start from."""
    if finetune and config.MODEL.PRETRAINED:
        raise InputError(
            f"--finetune {finetune} and MODEL.PRETRAINED {config.MODEL.PRETRAINED} both say where to start; "
            "leave out --finetune, or add MODEL.PRETRAINED ''"
        )


def changed_settings(saved: Mapping[str, Any], current: Mapping[str, Any]) -> list[str]:
    """Return what differs between a checkpoint and a run in config, lists, class names or teacher, in words.

    Args:
        saved: the checkpoint.
        current: ``config``, ``dataset``, ``label_names`` and ``teacher`` as the run's own checkpoints will have them.
    """
    before = config_from_text(saved["config"]).flat()
    now = config_from_text(current["config"]).flat()
    moved = [key for key in PATH_KEYS if _has_moved_along(key, before, now)]
    changes = changed_keys(before, now, ignored=(*MAY_CHANGE, *moved))

    # Paths and options are compared by now; what the lists hold may have changed all the same.
    for name in ("train", "val", "pseudo", "memory"):
        # Where there is no pseudo-labelled list, and no memory, there is no such entry.
        if saved["dataset"].get(name, "") != current["dataset"].get(name, ""):
            changes.append(f"the {name} list")
    if _teacher(saved) != _teacher(current):
        changes.append("the teacher")
    if saved["label_names"] != current["label_names"]:
        changes.append("the class names or their order")
    return changes


def _teacher(checkpoint: Mapping[str, Any]) -> str:
    """Return the hash of the teacher that a run has, or "" where it has none."""
    return checkpoint.get("teacher", {}).get("sha256", "")


def _has_moved_along(key: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a path lies to the run's folder as it did: both were moved, or are seen from another place."""
    places = []
    for values in (before, now):
        path = values[key]
        if not path or is_url(path):
            return False
        places.append(os.path.relpath(os.path.abspath(path), os.path.abspath(values["OUTPUT_DIR"])))
    return places[0] == places[1]


def refuse_other_model(saved: Mapping[str, Any], current: Mapping[str, Any], folder: RunFolder) -> None:
    """Raise InputError where the state of a checkpoint cannot be taken over, whatever is allowed.

    Arguments as of :func:`changed_settings`.
    """
    _refuse_other_optimizer(config_from_text(saved["config"]), config_from_text(current["config"]), folder)
    if saved["multi_label"] != current["multi_label"]:
        raise InputError(
            f"{folder.last} was trained with DATA.MULTI_LABEL {str(saved['multi_label']).lower()}, so its outputs mean "
            "something else; keep that, or start a new run with --finetune"
        )

    # Which weights are decayed decides where each stands among the optimizer's parameters.
    before = stored_architecture(saved["architecture"], str(folder.last))
    now = stored_architecture(current["architecture"], "this run")
    rules = [before.initialization, now.initialization]
    if rules[0] != rules[1]:
        raise InputError(
            f"{folder.last} holds the optimizer's state for MODEL.INITIALIZATION {rules[0]}, which decays other "
            f"weights than {rules[1]}; keep that, or start a new run with --finetune"
        )

    differences = model_differences(saved, current, str(folder.last))
    heads = [_head(saved), _head(current)]
    if heads[0] != heads[1]:
        differences.append(" -> ".join(heads))
    if saved["num_classes"] != current["num_classes"]:
        differences.append(f"{pluralize(saved['num_classes'], 'class', 'classes')} -> {current['num_classes']}")
    if differences:
        raise InputError(
            f"{folder.last} holds another model ({'; '.join(differences)}); start a new run in another OUTPUT_DIR"
        )


def _head(checkpoint: Mapping[str, Any]) -> str:
    """Return in words what stands behind the backbone of a checkpoint's network."""
    if not is_of_pretraining(checkpoint):
        return "a classifier"
    shape = checkpoint["projection"]
    layers = pluralize(shape["hidden_layers"], "hidden layer")
    return f"a projection head of {layers} of {shape['hidden_dim']} and {shape['projection_dim']} numbers a clip"


def _refuse_other_optimizer(before: Config, now: Config, folder: RunFolder) -> None:
    """Raise InputError where the optimizer's state is of other parameters, groups or another method."""
    frozen = before.MODEL.FROZEN_STAGES
    if frozen != now.MODEL.FROZEN_STAGES:
        raise InputError(
            f"{folder.last} holds the optimizer's state for MODEL.FROZEN_STAGES {frozen}, not "
            f"{now.MODEL.FROZEN_STAGES}; keep that, or start a new run with --finetune"
        )

    method = before.SOLVER.OPTIMIZING_METHOD
    if method != now.SOLVER.OPTIMIZING_METHOD:
        raise InputError(
            f"{folder.last} holds the state of {method}, which {now.SOLVER.OPTIMIZING_METHOD} cannot take over; "
            f"keep SOLVER.OPTIMIZING_METHOD {method}, or start a new run with --finetune"
        )

    decay = before.SOLVER.LAYER_DECAY
    if (decay == 1) != (now.SOLVER.LAYER_DECAY == 1):
        raise InputError(
            f"{folder.last} holds the optimizer's state for SOLVER.LAYER_DECAY {decay:g}, which has other groups than "
            f"{now.SOLVER.LAYER_DECAY:g}; keep that, or start a new run with --finetune"
        )


def model_differences(saved: Mapping[str, Any], current: Mapping[str, Any], path: str) -> list[str]:
    """Return ``field: before -> now`` for what makes the networks of two checkpoints different ones.

    Args:
        saved: the checkpoint at ``path``.
        current: what this run would save.
        path: of the checkpoint, for messages.

    Raises:
        InputError: the checkpoint's network has a field that this version does not know.
    """
    before = stored_architecture(saved["architecture"], path)
    now = stored_architecture(current["architecture"], "this run")
    return [f"{name}: {getattr(before, name)!r} -> {getattr(now, name)!r}" for name in before.differing_fields(now)]
