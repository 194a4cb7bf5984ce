"""How fast a list's files are probed, and how that grows with processes."""

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

from video_rs.benchmarks.measuring import Report, spread
from video_rs.curation.doctor.probing import probe_all
from video_rs.curation.file_workers import FileWorkers
from video_rs.runtime.unfinished import temporary_folder
from video_rs.video.probing.cache import ProbeCache

PROCESSES = (1, 2, 4)
# Seconds for one file.
TIME_LIMIT = 60.0


def probing_rates(videos: Sequence[str], rounds: int, report: Report) -> list[dict[str, Any]]:
    """Measure the doctor's work on some videos with each number of processes in turn.

    Each time with an empty cache, the start of the processes included; the first and last frame of each are decoded.

    Returns:
        For each number ``processes``, ``files``, ``files_per_s`` (median of the rounds) and ``spread``.
    """
    rates: dict[int, list[float]] = {processes: [] for processes in PROCESSES}
    for number in range(rounds):
        report(f"checking {len(videos)} files, round {number + 1} of {rounds}")
        for processes, measured in rates.items():
            with temporary_folder() as folder, ProbeCache(folder / "probes.sqlite") as empty:
                # What an earlier round has found must not be known.
                started = time.perf_counter()
                found = probe_all(videos, empty, "ends", FileWorkers(processes, TIME_LIMIT))
                measured.append(found.fresh / (time.perf_counter() - started))

    rows = []
    for processes, measured in rates.items():
        rate = statistics.median(measured)
        rows.append({"processes": processes, "files": len(videos), "files_per_s": rate, "spread": spread(measured)})
    return rows


def probing_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what :func:`probing_rates` measured, as lines below the table."""
    lines = ["", f"checking {rows[0]['files']} files, first and last frame decoded:"]
    for row in rows:
        lines.append(f"{row['files_per_s']:6.1f} files/s, {row['processes']} processes")
    return lines
