"""Work in other processes: each does one task after the other; one that hangs or dies costs its task and is replaced.

A *starter*, a process without threads, imports what the work needs once and forks the *workers* from itself, so that a
worker is there, or there again, within milliseconds. Tasks and results travel over a socket to each worker; nothing
lies in shared memory, whose size containers limit and which a killed process leaves behind. All of them end with the
process that asked for them, however that ends.
"""

import os

from video_rs.data.processes.stream import Lost, in_processes

__all__ = ["Lost", "in_processes", "usable_cores"]


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
