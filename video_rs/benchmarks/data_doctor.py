"""How fast a list's files are probed, and how that grows with processes."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from video_rs.benchmarks.benchmark import spread
from video_rs.curation.doctor.probing import probe_all
from video_rs.curation.file_workers import FileWorkers
from video_rs.video.probing.cache import ProbeCache

PROCESSES = (1, 2, 4)
TIME_LIMIT = 60.0  # seconds a file


def probing_rates(videos: Sequence[str], rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The doctor's work on all ``videos``, with each number of :data:`PROCESSES` in turn, ``rounds`` times over.

    Each time with an empty cache, the start of the processes included; the first and last frame of each are decoded.

    Returns:
        For each number ``processes``, ``files``, ``files_per_s`` (median of the rounds) and ``spread``.
    """
    rates: dict[int, list[float]] = {processes: [] for processes in PROCESSES}
    for i in range(rounds):
        say(f"checking {len(videos)} files, round {i + 1} of {rounds}")
        for processes, measured in rates.items():
            with tempfile.TemporaryDirectory() as folder, ProbeCache(Path(folder, "probes.sqlite")) as empty:
                started = time.perf_counter()
                found = probe_all(videos, empty, "ends", FileWorkers(processes, TIME_LIMIT))
                measured.append(found.fresh / (time.perf_counter() - started))
    return [
        {
            "processes": processes,
            "files": len(videos),
            "files_per_s": statistics.median(measured),
            "spread": spread(measured),
        }
        for processes, measured in rates.items()
    ]
