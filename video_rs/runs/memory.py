"""Whether a training step has the memory that it takes; for TRAIN.AUTO_BATCH, the fewest micro-batches that do."""

from typing import NamedTuple

import torch

from video_rs.builders import Training, build_mixing, clips_of_a_video
from video_rs.config import Config
from video_rs.engine.memory import PROBED_CLIPS, RESERVE, free_memory, measure_step
from video_rs.runtime import distributed
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line
from video_rs.runtime.wording import pluralize

# Values of a clip from which a trial takes seconds on a CPU.
SLOW = 10**6


class Room(NamedTuple):
    """What a process has memory for.

    Attributes:
        clips: how many clips at a time.
        needed: bytes of the step that was asked for.
        free: bytes.
    """

    clips: int
    needed: int
    free: int


def fit_into_memory(training: Training, is_resumed: bool, may_change: bool) -> Training:
    """Return the training with TRAIN.ACCUMULATION_STEPS micro-batches, or with more for TRAIN.AUTO_BATCH.

    All processes call this together; they get, or raise, the same.

    Args:
        training: what is to be trained.
        is_resumed: the run has shown that its steps fit: nothing is kept in reserve, and a GPU is not asked.
        may_change: whether the run may have another number of micro-batches than it is given with.

    Raises:
        InputError: there is not enough memory, or with TRAIN.AUTO_BATCH nobody can say how much there is.
    """
    config = training.config
    step = training.step
    asked = training.plan.micro_batches
    is_automatic = config.TRAIN.AUTO_BATCH
    # A GPU says when it is full, without having been asked.
    if step.device.type == "cuda" and (is_resumed or not is_automatic):
        return training

    if config.DATA.NUM_FRAMES * config.DATA.TRAIN_CROP_SIZE**2 >= SLOW:
        print_line("trying whether a step fits into memory")
    reserve = 1.0 if is_resumed else RESERVE
    found = distributed.gather(_room(training, reserve))
    failures = [text for text in found if isinstance(text, str)]
    if failures:
        raise InputError(no_memory(config, failures[0]))
    if None in found:
        if is_automatic:
            raise InputError(
                "TRAIN.AUTO_BATCH needs CUDA, or a CPU under Linux, to know the memory, not "
                f"{step.device.type}; set TRAIN.ACCUMULATION_STEPS by hand"
            )
        return training

    tightest = min(found)
    at_once = clips_at_once(config)
    if at_once <= tightest.clips:
        if is_automatic:
            free = _gib(tightest.free)
            print_line(f"TRAIN.AUTO_BATCH: {pluralize(at_once, 'clip')} at a time fit into {free} of free memory")
        return training
    return training.with_micro_batches(_enough_micro_batches(config, asked, tightest, may_change))


def _enough_micro_batches(config: Config, asked: int, tightest: Room, may_change: bool) -> int:
    """Return the fewest micro-batches for which there is memory; InputError where they may not, or cannot, be had."""
    # Fewer micro-batches than asked for are never taken: somebody may have set them for the batch norm.
    whole = clips_at_once(config) * asked
    enough = [count for count in divisions(config) if count >= asked and whole // count <= tightest.clips]
    least = enough[0] if enough else None
    free = _gib(tightest.free)

    if not config.TRAIN.AUTO_BATCH or least is None:
        needed = f"about {_gib(tightest.needed)} needed, as {probed_clips(config)} of them tell"
        raise InputError(no_memory(config, f"{needed}, and {free} free", least, searched=True))
    if not may_change:
        raise InputError(
            f"this run was trained with {asked} micro-batches a step, for which there is too little memory now "
            f"({free} free); free some, or add --allow-changes to go on with {least}"
        )
    print_line(
        f"TRAIN.AUTO_BATCH: {least} micro-batches of {pluralize(whole // least, 'clip')} a step, for {free} of free "
        "memory; nothing but batch norm and mixing see the batch in parts"
    )
    return least


def _room(training: Training, reserve: float) -> Room | str | None:
    """Return what this process has memory for.

    It is the reason where the trial itself had no memory, and None where there is nothing to know.
    """
    config = training.config
    step = training.step
    beside = None if training.teacher is None else training.teacher.answer_black_clips
    size = config.DATA.TRAIN_CROP_SIZE
    # What the clips show does not matter for memory.
    clips = torch.zeros(probed_clips(config), 3, config.DATA.NUM_FRAMES, size, size, dtype=torch.uint8)
    try:
        memory = measure_step(step, clips, beside)
        free = free_memory(step.device)
    except RuntimeError as error:
        if is_out_of_memory(error):
            return str(error)
        raise
    if memory is None:
        return None
    return Room(memory.most_clips(free, reserve), memory.needed(clips_at_once(config), reserve), free)


def clips_at_once(config: Config) -> int:
    """Return the clips of a micro-batch of one process."""
    return config.TRAIN.BATCH_SIZE // config.TRAIN.ACCUMULATION_STEPS // distributed.world_size()


def probed_clips(config: Config) -> int:
    """Return the number of clips that a step is judged by."""
    return min(PROBED_CLIPS, clips_at_once(config))


def divisions(config: Config) -> list[int]:
    """Return the numbers of micro-batches that the batch divides into, ascending.

    Where clips are mixed with each other, a micro-batch has two at least, and where videos are told apart, two of them
    over all processes; clips of one video stay together.
    """
    whole = config.TRAIN.BATCH_SIZE // distributed.world_size()
    of_a_video = clips_of_a_video(config)
    fewest_clips = 1
    if build_mixing(config) is not None:
        fewest_clips = 2
    elif config.CONTRAST.ENABLED and distributed.world_size() == 1:
        fewest_clips = 2 * of_a_video
    found = []
    for count in range(1, whole // fewest_clips + 1):
        clips = whole // count
        if whole % count == 0 and clips % of_a_video == 0:
            found.append(count)
    return found


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether there was no memory; the CPU's allocator has no error class of its own."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def no_memory(config: Config, why: str, enough: int | None = None, searched: bool = False) -> str:
    """Return a line about a step for which there is no memory, with what to change.

    Args:
        config: of the run.
        why: what is known of the memory.
        enough: so many micro-batches would do.
        searched: whether a number that does was looked for; with None for ``enough``, none would do.
    """
    data = config.DATA
    train = config.TRAIN
    advice = []
    could_be_more = max(divisions(config)) > train.ACCUMULATION_STEPS
    if enough or (not searched and could_be_more):
        to = f" to {enough}" if enough else ""
        finder = "TRAIN.AUTO_BATCH true finds how far; "
        if train.AUTO_BATCH or enough or config.CONTRAST.ENABLED:
            finder = ""
        advice.append(f"raise TRAIN.ACCUMULATION_STEPS{to} ({finder}{_what_sees_parts(config)} see the difference)")
    if train.ACTIVATION_CHECKPOINTING < 5:
        advice.append("set TRAIN.ACTIVATION_CHECKPOINTING 5")
    if train.PRECISION == "float32":
        advice.append("set TRAIN.PRECISION bfloat16")
    advice.append("lower DATA.TRAIN_CROP_SIZE or DATA.NUM_FRAMES")

    size = data.TRAIN_CROP_SIZE
    clips = pluralize(clips_at_once(config), "clip")
    # Of CUDA's message, what follows is about the whole machine.
    why = why.split(". GPU")[0]
    return (
        f"not enough memory for a step on {clips} of {data.NUM_FRAMES} x {size} x {size} at a time ({why}); "
        f"{', or '.join(advice)}"
    )


def _what_sees_parts(config: Config) -> str:
    """Return for what it matters in how many micro-batches a step is taken."""
    if config.CONTRAST.ENABLED:
        return "batch norm, and the clips, which are compared with fewer others,"
    return "nothing but batch norm and mixing"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
