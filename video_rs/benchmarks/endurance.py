"""Many clips through the loader: does memory grow, and is anything left behind?"""

import math
import os
import time
from collections.abc import Mapping
from typing import Any

from video_rs.benchmarks.data_files import Files
from video_rs.benchmarks.loader import training_loader
from video_rs.benchmarks.measuring import Report
from video_rs.benchmarks.memory import descendants, family_memory_mb, open_files
from video_rs.benchmarks.subject import DATA, OURS, Subject
from video_rs.runtime.errors import InputError

# Clips of a batch.
BATCH = 8
WORKERS = 2
# Clips after which memory is to grow no more.
SETTLED = 1000
# How often memory is looked at.
SAMPLES = 10


def check_clips(option: str, clips: int) -> None:
    """Refuse a number of clips after which memory has not settled yet."""
    if clips < SETTLED:
        raise InputError(f"{option} is {clips}; allowed: 0, or {SETTLED} or more: memory settles first")
    if family_memory_mb() is None:
        raise InputError(f"{option} needs the memory of all processes, which this system does not tell; leave it out")


def endure(files: Files, clips: int, frames: int, size: int, report: Report) -> dict[str, Any]:
    """Measure the memory of all processes together after :data:`SETTLED` clips and at the end, and what is left.

    Args:
        files: what is read.
        clips: how many are read, at least :data:`SETTLED`.
        frames, size: of a clip.
        report: takes lines of progress.

    Returns:
        ``clips``, ``clips_per_s``, ``settled_mb``, ``end_mb``, ``most_mb`` (of ten samples), ``growth``,
        ``files_left`` and ``processes_left``.
    """
    files_before = open_files()
    processes_before = set(descendants(os.getpid()))
    subject = Subject(DATA, OURS, "loader", 1, frames, size, videos=files.videos, cache=files.cache)
    steps = math.ceil(clips / BATCH)
    started = time.perf_counter()

    # What is held first is libraries and buffers: a growth of memory shows after them.
    taken = 0
    settled = 0.0
    samples = []
    for batch in training_loader(subject, BATCH, WORKERS, steps):
        before = taken
        taken += batch.size
        if before < SETTLED <= taken:
            settled = family_memory_mb()
        if taken * SAMPLES // clips > before * SAMPLES // clips:
            samples.append(family_memory_mb())
            report(f"{taken} clips, {samples[-1]:.0f} MiB")

    return {
        "clips": taken,
        "clips_per_s": taken / (time.perf_counter() - started),
        "settled_mb": settled,
        "end_mb": samples[-1],
        "most_mb": max(samples),
        "growth": samples[-1] / settled - 1,
        "files_left": open_files() - files_before,
        "processes_left": len(set(descendants(os.getpid())) - processes_before),
    }


def endurance_lines(many: Mapping[str, Any]) -> list[str]:
    """Return what :func:`endure` measured, as lines below the table."""
    memory = f"{many['settled_mb']:.0f} MiB after the first thousand, {many['end_mb']:.0f} at the end"
    left_behind = f"{many['files_left']} files, {many['processes_left']} processes"
    return [
        "",
        f"{many['clips']} clips, {WORKERS} workers: {memory} ({many['growth']:+.1%}), at most {many['most_mb']:.0f}; "
        f"{many['clips_per_s']:.0f} clips/s; left behind: {left_behind}",
    ]
