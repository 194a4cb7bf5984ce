"""Many clips through the loader: does memory grow, and is anything left behind?"""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from video_rs.benchmarks.published import published_clips, published_transform
from video_rs.benchmarks.worker import descendants, family_memory_mb
from video_rs.data.dataset import ClipReader, VideoSource
from video_rs.data.loader import ClipLoader, Workers
from video_rs.data.order import ClipOrder, Partition, permutation
from video_rs.lists.records import VideoRecord

BATCH, WORKERS, SETTLED = 8, 2, 1000  # clips of a batch; processes; clips after which memory is to grow no more


def endure(
    videos: Sequence[str], cache: str, clips: int, frames: int, size: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Memory of all processes together after :data:`SETTLED` clips and at the end, and what is left after it.

    Returns:
        ``clips``, ``clips_per_s``, ``settled_mb``, ``end_mb``, ``most_mb`` (of ten samples), ``growth``,
        ``files_left`` and ``processes_left``.
    """
    files, processes = _open_files(), set(descendants(os.getpid()))
    records = [VideoRecord(video, (0,), None, None, video) for video in videos]
    read = ClipReader(published_clips(frames), published_transform(size), VideoSource(cache=cache), 0)
    epoch = partial(permutation, seed=0, num_samples=len(records))
    order = ClipOrder(epoch, len(records), BATCH, 1, Partition(), 0, -(-clips // BATCH))
    started, taken, settled, samples = time.perf_counter(), 0, 0.0, []
    for batch in ClipLoader(records, read, order, Workers(WORKERS)):
        before, taken = taken, taken + batch.size
        if before < SETTLED <= taken:
            settled = family_memory_mb()
        if taken * 10 // clips > before * 10 // clips:
            samples.append(family_memory_mb())
            say(f"{taken} clips, {samples[-1]:.0f} MiB")
    return {
        "clips": taken,
        "clips_per_s": taken / (time.perf_counter() - started),
        "settled_mb": settled,
        "end_mb": samples[-1],
        "most_mb": max(samples),
        "growth": samples[-1] / settled - 1,
        "files_left": _open_files() - files,
        "processes_left": len(set(descendants(os.getpid())) - processes),
    }


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))
