"""Work in other processes: each does one task after the other; one that hangs or dies costs its task and is replaced.

A *starter*, a process without threads, imports what the work needs once and forks the *workers* from itself, so that a
worker is there, or there again, within milliseconds. Tasks and results travel over a socket to each worker; nothing
lies in shared memory, whose size containers limit and which a killed process leaves behind. All of them end with the
process that asked for them, however that ends.
"""

import os

from video_rs.runtime.errors import InputError
from video_rs.runtime.processes.stream import Lost
from video_rs.runtime.processes.stream import in_processes as in_workers

__all__ = ["Lost", "check_limits", "in_workers", "usable_cores"]

_LONGEST = 1_000_000  # seconds for one file; the system's clocks for waiting take not much more


def check_limits(processes: int, time_limit: float) -> None:
    """What a tool asks before it begins. InputError for what :func:`in_workers` cannot work with."""
    if processes < 1:
        raise InputError(f"--processes: got {processes}, allowed: from 1")
    if not 0 < time_limit <= _LONGEST:
        raise InputError(f"--time-limit: got {time_limit}, allowed: above 0, to {_LONGEST} (seconds for one file)")


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
