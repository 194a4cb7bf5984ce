"""What processes hold, in MiB."""

import contextlib
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

    total = own
    for process in psutil.Process().children(recursive=True):
        memory = _proportional_mb(process)
        # A child may end between the listing and the look at its memory.
        if memory is not None:
            total += memory
    return total


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


def peak_memory_mb(device: str) -> float | None:
    """Return the most memory that this process (on a GPU: its tensors there) has held.

    Returns:
        None where the system hides it.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20

    # Linux counts this anew for each program, while the peak of getrusage is never below that of the parent. psutil
    # knows neither.
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10

    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        return peak / 2**20
    return peak / 2**10


def open_files() -> int:
    """Return how many files, sockets and pipes this process has open."""
    return psutil.Process().num_fds()
