"""Whether a training step has the memory it takes; for TRAIN.AUTO_BATCH, the fewest micro-batches with which it has."""

from typing import NamedTuple

import torch

from video_rs import builders
from video_rs.config import Config
from video_rs.runtime import distributed
from video_rs.engine.memory import PROBED_CLIPS, RESERVE, StepMemory, free_memory, measure_step
from video_rs.engine.trainer import Trainer
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line

# Values of a clip from which a trial takes seconds on a CPU.
SLOW = 10**6


class Room(NamedTuple):
    """What a process finds: how many clips at a time it has memory for, bytes of the step asked for, bytes free."""

    clips: int
    needed: int
    free: int


def fitting_accumulation(config: Config, trainer: Trainer, resumed: bool = False, may_change: bool = True) -> int:
    """The number of micro-batches to train with: TRAIN.ACCUMULATION_STEPS, or more for TRAIN.AUTO_BATCH.

    All processes call it together; they get, or raise, the same. A ``resumed`` run has shown that its steps fit:
    nothing is kept in reserve, and a GPU is not asked. Only if it ``may_change`` does it get another number.

    Raises:
        InputError: there is not enough memory, or with TRAIN.AUTO_BATCH nobody can say how much there is.
    """
    asked, auto = config.TRAIN.ACCUMULATION_STEPS, config.TRAIN.AUTO_BATCH
    if trainer.device.type == "cuda" and (resumed or not auto):
        return asked  # a GPU says when it is full, without having been asked
    if config.DATA.NUM_FRAMES * config.DATA.TRAIN_CROP_SIZE**2 >= SLOW:
        print_line("trying whether a step fits into memory")
    found = distributed.gather(_room(config, trainer, 1.0 if resumed else RESERVE))
    if failures := [text for text in found if isinstance(text, str)]:
        raise InputError(no_memory(config, failures[0]))
    if None in found:
        if auto:
            raise InputError(
                "TRAIN.AUTO_BATCH needs CUDA, or a CPU under Linux, to know the memory, not "
                f"{trainer.device.type}; set TRAIN.ACCUMULATION_STEPS by hand"
            )
        return asked
    tightest, at_once = min(found), clips_at_once(config)
    if at_once <= tightest.clips:
        if auto:
            print_line(f"TRAIN.AUTO_BATCH: {_counted(at_once)} at a time fit into {_gib(tightest.free)} of free memory")
        return asked
    whole = at_once * asked
    least = next((n for n in divisions(config) if n >= asked and whole // n <= tightest.clips), None)
    if not auto or least is None:
        needed = f"about {_gib(tightest.needed)} needed, as {probed_clips(config)} of them tell"
        why = f"{needed}, and {_gib(tightest.free)} free"
        raise InputError(no_memory(config, why, least, searched=True))
    if not may_change:
        raise InputError(
            f"this run was trained with {asked} micro-batches a step, for which there is too little memory now "
            f"({_gib(tightest.free)} free); free some, or add --allow-changes to go on with {least}"
        )
    print_line(
        f"TRAIN.AUTO_BATCH: {least} micro-batches of {_counted(whole // least)} a step, for {_gib(tightest.free)} of "
        "free memory; nothing but batch norm and mixing see the batch in parts"
    )
    return least


def _room(config: Config, trainer: Trainer, reserve: float) -> Room | str | None:
    """Of this process; the reason where the probe itself had no memory, None where there is nothing to know."""
    at_once, size = clips_at_once(config), config.DATA.TRAIN_CROP_SIZE
    clips = torch.zeros(probed_clips(config), 3, config.DATA.NUM_FRAMES, size, size, dtype=torch.uint8)
    try:
        step, free = measure_step(trainer, clips), free_memory(trainer.device)
    except RuntimeError as error:
        if is_out_of_memory(error):
            return str(error)
        raise
    if step is None or free is None:
        return None
    return Room(most_clips(step, free, reserve), step.needed(at_once, reserve), free)


def most_clips(step: StepMemory, free: int, reserve: float = RESERVE) -> int:
    """How many clips at a time ``free`` bytes are enough for."""
    low, high = 0, 1
    while step.needed(high, reserve) <= free and high < 2**20:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if step.needed(middle, reserve) <= free else (low, middle)
    return low


def clips_at_once(config: Config) -> int:
    """Clips of a micro-batch of one process."""
    return config.TRAIN.BATCH_SIZE // config.TRAIN.ACCUMULATION_STEPS // distributed.world_size()


def probed_clips(config: Config) -> int:
    """Clips that a step is judged by."""
    return min(PROBED_CLIPS, clips_at_once(config))


def divisions(config: Config) -> list[int]:
    """The numbers of micro-batches that the batch divides into, ascending; where clips are mixed, two stay together."""
    whole, together = config.TRAIN.BATCH_SIZE // distributed.world_size(), config.DATA.CLIPS_PER_VIDEO
    fewest = 1 if builders.build_mixing(config) is None else 2
    counts = (n for n in range(1, whole // fewest + 1) if whole % n == 0)
    return [n for n in counts if whole // n % together == 0]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether there was no memory; the CPU's allocator has no error of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def no_memory(config: Config, why: str, enough: int | None = None, searched: bool = False) -> str:
    """A line about a step for which there is no memory, with what to change.

    ``enough`` micro-batches would do; none would where they were ``searched`` in vain.
    """
    frames, size, train = config.DATA.NUM_FRAMES, config.DATA.TRAIN_CROP_SIZE, config.TRAIN
    at_once = clips_at_once(config)
    advice = []
    if enough or (not searched and max(divisions(config)) > train.ACCUMULATION_STEPS):
        to = f" to {enough}" if enough else ""
        hint = "" if train.AUTO_BATCH or enough else "TRAIN.AUTO_BATCH true finds how far; "
        advice = [f"raise TRAIN.ACCUMULATION_STEPS{to} ({hint}nothing but batch norm and mixing see the difference)"]
    if train.ACTIVATION_CHECKPOINTING < 5:
        advice.append("set TRAIN.ACTIVATION_CHECKPOINTING 5")
    if train.PRECISION == "float32":
        advice.append("set TRAIN.PRECISION bfloat16")
    advice.append("lower DATA.TRAIN_CROP_SIZE or DATA.NUM_FRAMES")
    return (
        f"not enough memory for a step on {_counted(at_once)} of {frames} x {size} x {size} at a time "
        f"({why.split('. GPU')[0]}); {', or '.join(advice)}"
    )


def _counted(clips: int) -> str:
    return f"{clips} clip" + "s" * (clips != 1)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
