"""The precision of a run, where TRAIN.PRECISION auto leaves it to the machine, or to the run's checkpoint."""

from collections.abc import Mapping
from typing import Any

import torch

from video_rs.builders import Training
from video_rs.engine.trial import StepSeconds, time_precisions
from video_rs.runs.memory import clips_at_once
from video_rs.runs.run_folder import RunFolder
from video_rs.runtime import distributed
from video_rs.runtime.devices import has_bfloat16
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line
from video_rs.runtime.wording import pluralize


def choose_precision(training: Training) -> None:
    """Let a new run on a CPU compute in bfloat16 where a step of its own is faster in it, and say what was found.

    A CPU without instructions for bfloat16 is not tried: it can only be slower. All processes call this together; rank
    0 tries, and decides for all.
    """
    device = training.device
    if training.config.TRAIN.PRECISION != "auto" or device.type != "cpu":
        return
    if not all(distributed.gather(has_bfloat16(device))):
        return

    own = _time(training) if distributed.rank() == 0 else None
    found = distributed.gather(own)[0]
    if found.is_bfloat16_faster:
        training.compute_in("bfloat16")

    clips = pluralize(clips_at_once(training.config), "clip")
    print_line(
        f"TRAIN.PRECISION auto takes {training.precision}: a step on {clips} takes {found.float32:.3g} s in float32, "
        f"{found.bfloat16:.3g} s in bfloat16"
    )


def _time(training: Training) -> StepSeconds:
    """Return the seconds of a step on one micro-batch."""
    config = training.config
    beside = None if training.teacher is None else training.teacher.answer_black_clips
    size = config.DATA.TRAIN_CROP_SIZE
    shape = (clips_at_once(config), 3, config.DATA.NUM_FRAMES, size, size)
    clips = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return time_precisions(training.step, clips, beside)


def keep_precision(training: Training, saved: Mapping[str, Any], folder: RunFolder) -> None:
    """Let a run of TRAIN.PRECISION auto go on in the precision that it has been trained in, whatever is faster here.

    Args:
        training: built from the config of now.
        saved: the run's checkpoint; one of an older version has no precision, and goes on as auto was meant then.
        folder: of the run.

    Raises:
        InputError: the precision is float16, and the run goes on on a CPU.
    """
    if training.config.TRAIN.PRECISION != "auto":
        return
    precision = saved.get("precision", training.precision)
    if precision == "float16" and training.device.type == "cpu":
        raise InputError(
            f"{folder.path} was trained in float16 on a GPU, and a CPU has no float16; go on on a GPU, or add "
            "TRAIN.PRECISION float32 --allow-changes"
        )
    training.compute_in(precision)
