"""Going on with a run from its last checkpoint, unless config or data set have changed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from video_rs.builders import Training
from video_rs.config import config_from_text
from video_rs.engine.checkpoint import changed_keys, load_checkpoint
from video_rs.engine.schedule import Schedule
from video_rs.runs.changes import changed_settings, refuse_other_model
from video_rs.runs.memory import divisions
from video_rs.runs.precision import keep_precision
from video_rs.runs.run_folder import RunFolder
from video_rs.runs.start import Start
from video_rs.runs.state import RunState
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, print_notes

# A smaller change of the learning rate is no jump, relative to the rate.
STEADY = 0.01


def resume_training(training: Training, folder: RunFolder, versions: Mapping[str, str], allow_changes: bool) -> Start:
    """Load the last checkpoint of a run into a training.

    Args:
        training: built from the config of now; its step takes over the saved state.
        folder: of the run.
        versions: of the code.
        allow_changes: go on although config or data set have changed.

    Raises:
        InputError: there is no checkpoint that can be read, or settings have changed.
    """
    saved = _last_checkpoint(folder)
    training = _with_saved_micro_batches(training, saved)

    fingerprints = training.lists.fingerprints()
    current = {**training.identity(), "dataset": fingerprints}
    changes = changed_settings(saved, current)
    if changes and not allow_changes:
        raise InputError(
            f"{folder.path} was trained with another setting ({'; '.join(changes)}); "
            "restore it, or add --allow-changes to go on regardless"
        )
    refuse_other_model(saved, current, folder)

    # Before the state, of which the scale of the loss is a part.
    keep_precision(training, saved, folder)
    training.step.load_state_dict(saved)
    # What the run has started from is known from its first checkpoint on, or not at all.
    training = dataclasses.replace(training, started_from=saved.get("started_from"))
    state = RunState.from_dict(saved)
    # The best accuracy on another list says nothing about this one.
    if saved["dataset"]["val"] != fingerprints["val"]:
        state.best = None

    _say_differences(training, saved, versions, changes)
    print_line(f"resuming {folder.path} at step {training.step.number} of {training.plan.total_steps}")
    return Start(training, folder, state, is_resumed=True, changes=tuple(changes))


def _last_checkpoint(folder: RunFolder) -> dict[str, Any]:
    try:
        return load_checkpoint(folder.last, needs_classes=False)
    except InputError as error:
        others = folder.other_checkpoints()
        if not others:
            raise
        raise InputError(f"{error}; copy one to last.pth to go on from it: {', '.join(others)}") from error


def _with_saved_micro_batches(training: Training, saved: Mapping[str, Any]) -> Training:
    """Return the training with as many micro-batches as TRAIN.AUTO_BATCH found when the run began, or more.

    Fewer would be another run. Another batch or number of processes divides in other ways.
    """
    if not training.config.TRAIN.AUTO_BATCH:
        return training
    fewest = max(config_from_text(saved["config"]).TRAIN.ACCUMULATION_STEPS, training.plan.micro_batches)
    possible = divisions(training.config)
    enough = [count for count in possible if count >= fewest]
    return training.with_micro_batches(enough[0] if enough else possible[-1])


def _say_differences(
    training: Training, saved: Mapping[str, Any], versions: Mapping[str, str], changes: list[str]
) -> None:
    """Print what is not as it was when the run was stopped."""
    if changes:
        print_line(f"note: this run goes on with other settings ({'; '.join(changes)})")

    known = {key: value for key, value in versions.items() if key in saved["versions"]}
    changed = changed_keys(saved["versions"], known, ignored=("commit",))
    if changed:
        print_line(f"note: the code is not what the run was made with so far ({'; '.join(changed)})")

    jump = jump_of_rate(saved, training.step.schedule)
    print_notes([jump] if jump else [])


def jump_of_rate(saved: Mapping[str, Any], schedule: Schedule) -> str:
    """Return a sentence on a learning rate that does not go on where a run stopped; nothing where it does.

    Args:
        saved: the run's checkpoint, whose optimizer has the rate of the last step taken.
        schedule: that the run goes on with.
    """
    step = saved["step"]
    rates = []
    for group in saved["optimizer"]["param_groups"]:
        scale = group.get("lr_scale", 1.0)
        if scale > 0:
            rates.append(group["lr"] / scale)
    if not step or not rates:
        return ""

    # Parts of the network may have smaller rates (SOLVER.LAYER_DECAY), and frozen ones 0.
    before = max(rates)
    same_step = schedule(step - 1)
    if abs(same_step - before) <= STEADY * max(same_step, before):
        return ""
    return (
        f"the learning rate jumps: it was {before:.3g} at step {step}, and goes on with {schedule(step):.3g}; its "
        "schedule follows the number of steps and SOLVER's keys"
    )
