"""Whether a checkpoint and what is asked for now belong together: the refusals of --resume and --finetune."""

import os
from collections.abc import Mapping
from typing import Any

from video_rs.builders import FREE_ON_RESUME, PATH_KEYS
from video_rs.config import Config, config_from_text, flat
from video_rs.video.fetching import is_url
from video_rs.engine.checkpoint import changed_keys
from video_rs.runtime.errors import InputError
from video_rs.runs.run_folder import RunFolder
from video_rs.models import Architecture
from video_rs.runtime.wording import pluralize


def refuse_two_starts(config: Config, finetune: str) -> None:
    """Raises InputError where the command line and the config both name weights to start from."""
    if finetune and config.MODEL.PRETRAINED:
        raise InputError(
            f"--finetune {finetune} and MODEL.PRETRAINED {config.MODEL.PRETRAINED} both say where to start; "
            "leave out --finetune, or add MODEL.PRETRAINED ''"
        )


def changed_settings(state: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """What differs from the checkpoint's config, lists or class names, in words; keys that may change are left out."""
    theirs_flat, ours_flat = (flat(config_from_text(identity["config"])) for identity in (state, ours))
    moved = tuple(key for key in PATH_KEYS if _moved_along(key, theirs_flat, ours_flat))
    changes = changed_keys(theirs_flat, ours_flat, (*FREE_ON_RESUME, *moved))
    changes += [f"the {name} list" for name in ("train", "val") if state["dataset"][name] != ours["dataset"][name]]
    if state["label_names"] != ours["label_names"]:
        changes.append("the class names or their order")
    return changes


def _moved_along(key: str, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> bool:
    """Return whether a path lies to the run's folder as it did: both were moved, or are seen from another place."""
    paths = [(values[key], values["OUTPUT_DIR"]) for values in (theirs, ours)]
    if not all(path and not is_url(path) for path, _ in paths):
        return False
    places = [os.path.relpath(os.path.abspath(path), os.path.abspath(run)) for path, run in paths]
    return places[0] == places[1]


def refuse_other_model(state: dict[str, Any], ours: dict[str, Any], folder: RunFolder) -> None:
    """Raises InputError where the checkpoint's state cannot be taken over, whatever is allowed."""
    theirs_config, ours_config = (config_from_text(identity["config"]) for identity in (state, ours))
    frozen, asked = (config.MODEL.FROZEN_STAGES for config in (theirs_config, ours_config))
    if frozen != asked:
        raise InputError(
            f"{folder.last} holds the optimizer's state for MODEL.FROZEN_STAGES {frozen}, not {asked}; "
            "keep that, or start a new run with --finetune"
        )
    method, asked = (config.SOLVER.OPTIMIZING_METHOD for config in (theirs_config, ours_config))
    if method != asked:
        raise InputError(
            f"{folder.last} holds the state of {method}, which {asked} cannot take over; "
            f"keep SOLVER.OPTIMIZING_METHOD {method}, or start a new run with --finetune"
        )
    decay, asked = (config.SOLVER.LAYER_DECAY for config in (theirs_config, ours_config))
    if (decay == 1) != (asked == 1):
        raise InputError(
            f"{folder.last} holds the optimizer's state for SOLVER.LAYER_DECAY {decay:g}, which has other groups than "
            f"{asked:g}; keep that, or start a new run with --finetune"
        )
    if state["multi_label"] != ours["multi_label"]:
        raise InputError(
            f"{folder.last} was trained with DATA.MULTI_LABEL {str(state['multi_label']).lower()}, so its outputs mean "
            "something else; keep that, or start a new run with --finetune"
        )
    differences = model_differences(state, ours)
    if state["num_classes"] != ours["num_classes"]:
        differences.append(f"{pluralize(state['num_classes'], 'class', 'classes')} -> {ours['num_classes']}")
    if differences:
        raise InputError(
            f"{folder.last} holds another model ({'; '.join(differences)}); start a new run in another OUTPUT_DIR"
        )


def model_differences(theirs: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    """``field: theirs -> ours`` for what makes two checkpoints' networks different ones."""
    there, here = (Architecture(**identity["architecture"]) for identity in (theirs, ours))
    return [f"{name}: {getattr(there, name)!r} -> {getattr(here, name)!r}" for name in there.differing_fields(here)]
