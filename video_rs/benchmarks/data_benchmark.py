"""Reading clips: every way in a process of its own, interleaved over rounds, on original and on prepared files."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from video_rs.benchmarks.benchmark import spread
from video_rs.benchmarks.data_subjects import DataSubject, data_subjects
from video_rs.benchmarks.process import started
from video_rs.curation.doctor.probing import probe_all
from video_rs.curation.file_workers import FileWorkers
from video_rs.curation.prepare.options import PrepareOptions
from video_rs.curation.prepare.preparation import run_preparation
from video_rs.lists.records import read_records
from video_rs.runtime.errors import InputError
from video_rs.runtime.workers import usable_cores
from video_rs.video.probing.cache import ProbeCache


def data_files(source: str, folder: Path, short_side: int) -> dict[str, dict[str, Any]]:
    """The list's files and the same ones prepared into ``folder``, each with its probe cache.

    Raises:
        InputError: the list cannot be read, or not one of its files.
    """
    originals = [record.path for record in read_records(source, require_labels=False).records]
    options = PrepareOptions(source, str(folder), short_side=short_side, processes=usable_cores())
    done = run_preparation(options)
    if not done.done + done.skipped:
        raise InputError(f"none of {done.failed} files of {source} can be read: {folder / 'failures.csv'} says why")
    prepared = [record.path for record in read_records(folder / "list.csv", require_labels=False).records]
    return {
        kind: {"videos": _sound(paths, folder / f"{kind}.sqlite"), "cache": str(folder / f"{kind}.sqlite")}
        for kind, paths in (("originals", originals), ("prepared", prepared))
    }


def _sound(paths: Sequence[str], cache: Path) -> list[str]:
    with ProbeCache(cache) as known:
        found = probe_all(paths, known, "ends", FileWorkers(usable_cores(), time_limit=60.0))
    return [path for path in paths if found.probes[path].kind == "ok"]


def measure_data(
    files: Mapping[str, Mapping[str, Any]],
    frames: Sequence[int],
    size: int,
    peers: bool,
    rounds: int,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """The rows: for each kind of files and clip length all ways in turn, ``rounds`` times over, medians."""
    rows: list[dict[str, Any]] = []
    for length in frames:
        for kind, where in files.items():
            rows += _measure(data_subjects({kind: where}, length, size, peers), rounds, say)
    return rows


def _measure(subjects: Sequence[DataSubject], rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    rates: list[list[float]] = [[] for _ in subjects]
    with started(subjects, say) as processes:
        for i in range(rounds):
            say(f"round {i + 1} of {rounds}")
            for rate, process in zip(rates, processes, strict=True):
                rate += process.measure()["rates"]
        ends = [process.end() for process in processes]
    return [
        {
            "name": subject.name,
            "clips_per_s": statistics.median(rate),
            "gflop_per_clip": None,
            "gflops_per_s": None,
            **end,
            "spread": spread(rate),
            "subject": dataclasses.asdict(subject),
        }
        for subject, rate, end in zip(subjects, rates, ends, strict=True)
    ]
