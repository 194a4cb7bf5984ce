"""What a training step takes of the memory that is there, judged by one on few clips.

A CUDA device raises an error when its memory is full. For the memory of a CPU, Linux kills a process without a word, so
a run has to know before.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import torch
from torch import Tensor

from video_rs.engine.guards import BufferBackup
from video_rs.engine.step import Step
from video_rs.engine.trial import forward_and_backward
from video_rs.runtime import distributed

# Batch norm needs two values a channel.
PROBED_CLIPS = 2
# Frames, height and width of a pass before the one that is measured.
SMALL = (4, 32, 32)
# What the allocator loses between blocks, and what else the step holds: estimates are off by up to a tenth.
RESERVE = 1.1
# Files of control groups: the limit, and what is used.
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
VERSION_2 = ("memory.max", "memory.current")


@dataclass(frozen=True)
class StepMemory:
    """Bytes that a step takes beside what is held between steps.

    Attributes:
        fixed: bytes of any step.
        per_clip: bytes of each clip of a micro-batch.
    """

    fixed: int
    per_clip: int

    def needed(self, clips: int, reserve: float = RESERVE) -> int:
        """Return the bytes of a step with so many clips at a time, times ``reserve``."""
        return int(reserve * (self.fixed + clips * self.per_clip))

    def most_clips(self, free: int, reserve: float = RESERVE) -> int:
        """Return for how many clips at a time ``free`` bytes are enough."""
        low = 0
        high = 1
        while self.needed(high, reserve) <= free and high < 2**20:
            low = high
            high = 2 * high

        while high - low > 1:
            middle = (low + high) // 2
            if self.needed(middle, reserve) <= free:
                low = middle
            else:
                high = middle
        return low


def probe(step: Step, clips: Tensor, beside: Callable[[int], None] | None = None) -> None:
    """Run a forward and a backward pass over uint8 clips ``[b, 3, T, H, W]``, and leave everything as it was.

    Nothing is exchanged with other processes.

    Args:
        step: whose network is run.
        clips: of any content.
        beside: what a step computes before its own network, such as a teacher's answers, for a number of clips.
    """
    statistics = BufferBackup(step.model)
    step.model.train()
    forward_and_backward(step.model, step.objective.prepare, clips, step.autocast(), beside)
    step.optimizer.zero_grad(set_to_none=True)
    statistics.restore()


def measure_step(step: Step, clips: Tensor, beside: Callable[[int], None] | None = None) -> StepMemory | None:
    """Return the memory of a step, from a forward and a backward pass that change nothing.

    All processes call this together.

    Args:
        step: whose memory is measured.
        clips: uint8 ``[b, 3, T, H, W]`` of any content, few.
        beside: as for :func:`probe`.

    Returns:
        None where it cannot be measured: on a CPU without Linux's /proc, and on MPS.
    """
    device = step.device
    if device.type not in ("cpu", "cuda"):
        return None

    # A small pass before: loading kernels and starting threads takes memory, too, but not for each clip.
    frames, height, width = (min(size, small) for size, small in zip(clips.shape[2:], SMALL, strict=True))
    probe(step, clips.new_zeros(PROBED_CLIPS, 3, frames, height, width))

    run = partial(probe, step, clips, beside)
    peak = _cuda_growth(run, device) if device.type == "cuda" else _cpu_growth(run)
    if peak is None:
        return None

    weights = [weight for group in step.optimizer.param_groups for weight in group["params"]]
    gradients = sum(weight.numel() * weight.element_size() for weight in weights)
    per_clip = max(0, peak - gradients) // len(clips)
    return StepMemory(_fixed_bytes(step, gradients), per_clip)


def _fixed_bytes(step: Step, gradients: int) -> int:
    """Return the bytes of a step that do not depend on its clips; ``gradients`` is the size of all gradients."""
    fixed = gradients
    if distributed.world_size() > 1:
        # DistributedDataParallel exchanges copies of the gradients.
        fixed += gradients

    momenta = gradients * _momenta_of_a_weight(step.optimizer)
    if not step.optimizer.state:
        # They come with the first step.
        fixed += momenta

    if step.device.type == "cpu":
        # The copy that a checkpoint is written from.
        state = sum(value.numel() * value.element_size() for value in step.model.state_dict().values())
        copies = 1 if step.average is None else 2
        fixed += state * copies + momenta
    return fixed


def _momenta_of_a_weight(optimizer: torch.optim.Optimizer) -> int:
    """Return how many buffers the optimizer has for each weight."""
    if isinstance(optimizer, torch.optim.AdamW):
        return 2
    return int(optimizer.defaults["momentum"] > 0)


def _cuda_growth(run: Callable[[], None], device: torch.device) -> int:
    """Return by how many bytes the memory on a GPU grows at most while ``run`` runs."""
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    return torch.cuda.max_memory_allocated(device) - before


def _cpu_growth(run: Callable[[], None]) -> int | None:
    """Return by how many bytes this process grows at most while ``run`` runs; None without Linux's /proc."""
    # Memory that is free but kept by the allocator would hide what is taken.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)

    try:
        # 5 sets the peak back to the present size (proc(5)); psutil knows no peak.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _status("VmRSS")
        run()
        return _status("VmHWM") - before
    except OSError:
        return None


def _status(key: str) -> int:
    """Return the bytes of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def free_memory(device: torch.device) -> int:
    """Return the bytes that this process can still take on a device.

    On a CPU they are the share of this process in what its machine and its control group (the limit of a container)
    leave.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept

    return available_memory() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes of main memory that can be taken without swapping, as the machine and its control groups say.

    Args:
        root: where the files of control groups are looked for.
    """
    # psutil knows the machine, and nothing of control groups, which limit a container.
    return min([psutil.virtual_memory().available, *_left_by_control_groups(root)])


def _left_by_control_groups(root: Path) -> list[int]:
    """Return what each control group above this process leaves: of version 2, or version 1's memory controller."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []

    left = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base = root / "sys/fs/cgroup" / controllers
        names = VERSION_1 if controllers else VERSION_2
        # In a container, the path of the group may be that of the host, and the files those of the top of its groups.
        group = base / path.lstrip("/")
        for folder in dict.fromkeys([group, *group.parents, base]):
            if folder.is_relative_to(base):
                left += _left_by_group(folder, *names)
    return left


def _left_by_group(folder: Path, limit_file: str, used_file: str) -> list[int]:
    """Return what one control group leaves, as a list of one number; an empty list where it has no limit."""
    try:
        limit = (folder / limit_file).read_text(encoding="ascii").strip()
        used = (folder / used_file).read_text(encoding="ascii").strip()
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    if limit == "max":
        return []

    # Linux takes back the pages of files that were read when memory is needed.
    cached = [int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "total_inactive_file "))]
    return [max(0, int(limit) - int(used) + max(cached, default=0))]
