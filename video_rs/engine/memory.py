"""What a training step takes of the memory that is there, from one on few clips.

A CUDA device raises an error when its memory is full, which the jobs tell in a line. For the memory of a CPU, Linux
kills a process without a word, so that has to be known before.
"""

import contextlib
import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from video_rs.engine.trainer import Trainer
from video_rs.runtime import distributed

PROBED_CLIPS = 2  # batch norm needs two values a channel
SMALL = (4, 32, 32)  # frames, height, width: of a pass before the one that is measured
# What the allocator loses between blocks, and what else the step holds: estimates are off by up to a tenth.
RESERVE = 1.1
# Files of control groups: the limit, and what is used.
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
VERSION_2 = ("memory.max", "memory.current")


@dataclass(frozen=True)
class StepMemory:
    """Bytes that a step takes beside what is held between steps: ``fixed``, and ``per_clip`` of each clip at a time."""

    fixed: int
    per_clip: int

    def needed(self, clips: int, reserve: float = RESERVE) -> int:
        """Bytes of a step with so many clips at a time, times ``reserve``."""
        return int(reserve * (self.fixed + clips * self.per_clip))


def measure_step(trainer: Trainer, clips: Tensor) -> StepMemory | None:
    """The memory of a step, from a forward and a backward pass that change nothing; all processes call it together.

    Args:
        trainer: whose step.
        clips: uint8 ``[b, 3, T, H, W]`` of any content, few.

    Returns:
        None where it cannot be measured: on a CPU without Linux's /proc, and on MPS.
    """
    device = trainer.device
    if device.type not in ("cpu", "cuda"):
        return None
    # Once before: loading kernels and starting threads takes memory, too, but not of each clip.
    frames, height, width = (min(size, small) for size, small in zip(clips.shape[2:], SMALL, strict=True))
    trainer.probe(clips.new_zeros(PROBED_CLIPS, 3, frames, height, width))
    run = lambda: trainer.probe(clips)  # noqa: E731
    peak = _cuda_growth(run, device) if device.type == "cuda" else _cpu_growth(run)
    if peak is None:
        return None
    weights = (p for group in trainer.optimizer.param_groups for p in group["params"])
    gradients = sum(p.numel() * p.element_size() for p in weights)
    per_clip = max(0, peak - gradients) // len(clips)
    # Momentum comes with the first step, and DistributedDataParallel exchanges copies of the gradients.
    momenta = gradients * _momenta(trainer.optimizer)
    fixed = gradients + gradients * (distributed.world_size() > 1) + (0 if trainer.optimizer.state else momenta)
    if device.type == "cpu":  # the copy that a checkpoint is written from
        state = sum(value.numel() * value.element_size() for value in trainer.model.state_dict().values())
        fixed += state * (1 if trainer.ema is None else 2) + momenta
    return StepMemory(fixed, per_clip)


def _momenta(optimizer: torch.optim.Optimizer) -> int:
    """Buffers of the optimizer for each weight."""
    return 2 if isinstance(optimizer, torch.optim.AdamW) else int(optimizer.defaults["momentum"] > 0)


def _cuda_growth(run: Callable[[], None], device: torch.device) -> int:
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    return torch.cuda.max_memory_allocated(device) - before


def _cpu_growth(run: Callable[[], None]) -> int | None:
    """By how many bytes this process grows at most while ``run`` runs."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what is free but kept would hide what is taken
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # sets the peak back (proc(5))
        before = _status("VmRSS")
        run()
        return _status("VmHWM") - before
    except OSError:
        return None


def _status(key: str) -> int:
    """Bytes of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def free_memory(device: torch.device) -> int | None:
    """Bytes that this process can still take on ``device``; None where the system hides it.

    On a CPU that is this process's share of what its machine and its control group (a container's limit) leave.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    free = available_memory()
    return None if free is None else free // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes of main memory that can be taken without swapping; None where there is no Linux below ``root``."""
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    free = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return min([*free, *_left_by_control_groups(root)], default=None)


def _left_by_control_groups(root: Path) -> list[int]:
    """What each control group above this process leaves: version 2's, or the memory controller's of version 1."""
    left = []
    with contextlib.suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            base = root / "sys/fs/cgroup" / controllers
            names = VERSION_1 if controllers else VERSION_2
            # In a container, the group's path may be the host's, and the files those of its top.
            for folder in dict.fromkeys([base / path.lstrip("/"), *(base / path.lstrip("/")).parents, base]):
                if folder.is_relative_to(base):
                    left += _left(folder, *names)
    return left


def _left(folder: Path, limit: str, used: str) -> list[int]:
    try:
        most, now = ((folder / name).read_text(encoding="ascii").strip() for name in (limit, used))
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return []
    if most == "max":
        return []
    # Pages of files that were read go when they are needed.
    files = [int(line.split()[1]) for line in lines if line.startswith(("inactive_file ", "total_inactive_file "))]
    return [max(0, int(most) - int(now) + max(files, default=0))]
