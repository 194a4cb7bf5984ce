"""Many clips through the loader: does memory grow, and is anything left behind?"""

import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from video_rs.benchmarks.measuring import Report
from video_rs.benchmarks.memory import descendants, family_memory_mb, open_files
from video_rs.benchmarks.published import published_clips, published_transform
from video_rs.data.dataset import ClipReader, VideoSource
from video_rs.data.loader import ClipLoader, Workers
from video_rs.data.order import ClipOrder, Partition, permutation
from video_rs.lists.records import VideoRecord

# Clips of a batch.
BATCH = 8
WORKERS = 2
# Clips after which memory is to grow no more.
SETTLED = 1000
SAMPLES = 10


def endure(videos: Sequence[str], cache: str, clips: int, frames: int, size: int, report: Report) -> dict[str, Any]:
    """Measure the memory of all processes together after :data:`SETTLED` clips and at the end, and what is left.

    Returns:
        ``clips``, ``clips_per_s``, ``settled_mb``, ``end_mb``, ``most_mb`` (of ten samples), ``growth``,
        ``files_left`` and ``processes_left``.
    """
    files_before = open_files()
    processes_before = set(descendants(os.getpid()))
    started = time.perf_counter()

    # A growth of memory shows late, so it is compared with what is held after a while.
    taken = 0
    settled = 0.0
    samples = []
    for batch in _loader(videos, cache, clips, frames, size):
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


def _loader(videos: Sequence[str], cache: str, clips: int, frames: int, size: int) -> ClipLoader:
    records = [VideoRecord(video, (0,), None, None, video) for video in videos]
    read = ClipReader(published_clips(frames), published_transform(size), VideoSource(cache=cache), 0)
    epoch = partial(permutation, seed=0, num_samples=len(records))
    steps = -(-clips // BATCH)
    order = ClipOrder(epoch, len(records), BATCH, 1, Partition(), 0, steps)
    return ClipLoader(records, read, order, Workers(WORKERS))
