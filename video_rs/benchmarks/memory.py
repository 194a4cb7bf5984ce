"""What processes hold, in MiB."""

import contextlib
import os
import resource
import sys

import psutil
import torch


def family_memory_mb() -> float | None:
    """Return what this process and all below it hold now; shared pages are divided among those that share them.

    Returns:
        None where the system hides it.
    """
    own = _proportional_mb(psutil.Process())
    if own is None:
        return None
    others = [_proportional_mb(process) for process in psutil.Process().children(recursive=True)]
    return own + sum(memory for memory in others if memory is not None)


def _proportional_mb(process: psutil.Process) -> float | None:
    """Return the proportional set size of a process; None where it has ended, and on systems without this size."""
    try:
        return process.memory_full_info().pss / 2**20
    except (psutil.Error, AttributeError):
        return None


def descendants(process: int) -> list[int]:
    """Return the numbers of all processes below one."""
    with contextlib.suppress(psutil.Error):
        return [child.pid for child in psutil.Process(process).children(recursive=True)]
    return []


def peak_memory_mb(device: str) -> float:
    """Return the most memory that this process (on a GPU: its tensors there) has held."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20

    # Linux counts this anew for each program, while the peak of getrusage is never below that of the parent. psutil
    # knows neither.
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def open_files() -> int:
    """Return how many files this process has open."""
    return len(os.listdir("/proc/self/fd"))
