"""Whether a training step has the memory it takes; for TRAIN.AUTO_BATCH, the fewest micro-batches with which it has."""

import torch

from video_rs.config import Config
from video_rs.engine import distributed
from video_rs.engine.memory import PROBED_CLIPS, StepMemory, free_memory, measure_step
from video_rs.engine.trainer import Trainer
from video_rs.errors import InputError
from video_rs.jobs.progress import say


def fitting_accumulation(config: Config, trainer: Trainer, search: bool) -> int:
    """The number of micro-batches to train with: TRAIN.ACCUMULATION_STEPS, or more for TRAIN.AUTO_BATCH.

    All processes call it together and get the same. Without ``search``, TRAIN.AUTO_BATCH has found it before.

    Raises:
        InputError: there is not enough memory, or with TRAIN.AUTO_BATCH nobody can say how much there is.
    """
    asked, auto = config.TRAIN.ACCUMULATION_STEPS, config.TRAIN.AUTO_BATCH and search
    if trainer.device.type == "cuda" and not auto:
        return asked  # a GPU says when it is full, without having been asked
    at_once = clips_at_once(config)
    probed = min(PROBED_CLIPS, at_once)
    size = config.DATA.TRAIN_CROP_SIZE
    clips = torch.zeros(probed, 3, config.DATA.NUM_FRAMES, size, size, dtype=torch.uint8)
    try:
        step, free = measure_step(trainer, clips), free_memory(trainer.device)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise InputError(no_memory(config, str(error), probed)) from error
        raise
    if step is None or free is None:
        if auto:
            raise InputError(
                "TRAIN.AUTO_BATCH needs CUDA, or a CPU under Linux, to know the memory, not "
                f"{trainer.device.type}; set TRAIN.ACCUMULATION_STEPS by hand"
            )
        return asked
    tightest = min(distributed.gather((most_clips(step, free), step.needed(at_once), free)))
    if at_once <= tightest[0]:
        return asked
    least = next((n for n in divisions(config) if n >= asked and at_once * asked // n <= tightest[0]), None)
    if auto and least is not None:
        say(
            f"TRAIN.AUTO_BATCH: {least} micro-batches of {at_once * asked // least} clips a step, for "
            f"{_gib(tightest[2])} of memory; a result is that of one large batch but for batch norm's"
        )
        return least
    _, needed, free = tightest
    raise InputError(
        no_memory(config, f"about {_gib(needed)} needed, judging by {probed}, and {_gib(free)} free", raised_to=least)
    )


def most_clips(step: StepMemory, free: int) -> int:
    """How many clips at a time ``free`` bytes are enough for."""
    low, high = 0, 1
    while step.needed(high) <= free and high < 2**20:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if step.needed(middle) <= free else (low, middle)
    return low


def clips_at_once(config: Config) -> int:
    """Clips of a micro-batch of one process."""
    return config.TRAIN.BATCH_SIZE // config.TRAIN.ACCUMULATION_STEPS // distributed.world_size()


def divisions(config: Config) -> list[int]:
    """The numbers of micro-batches that the batch divides into, ascending."""
    at_once, together = config.TRAIN.BATCH_SIZE // distributed.world_size(), config.DATA.CLIPS_PER_VIDEO
    return [n for n in range(1, at_once + 1) if at_once % n == 0 and at_once // n % together == 0]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether there was no memory; the CPU's allocator has no error of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def no_memory(config: Config, why: str, clips: int | None = None, raised_to: int | None = None) -> str:
    """A line about a step for which there is no memory, with what to lower.

    ``clips`` at a time are those of a step, if not given, and ``raised_to`` the accumulation that would do.
    """
    frames, size = config.DATA.NUM_FRAMES, config.DATA.TRAIN_CROP_SIZE
    at_once, to = clips or clips_at_once(config), f" to {raised_to}" if raised_to else ""
    return (
        f"not enough memory for a step on {at_once} clips of {frames} x {size} x {size} at a time "
        f"({why.split('. GPU')[0]}); raise TRAIN.ACCUMULATION_STEPS{to}, which changes no result but batch norm's "
        "(TRAIN.AUTO_BATCH true finds how far), or set TRAIN.ACTIVATION_CHECKPOINTING 5 or TRAIN.PRECISION bfloat16"
    )


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
