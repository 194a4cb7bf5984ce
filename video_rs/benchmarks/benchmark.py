"""Speed and memory against peers: every subject in a process of its own, interleaved over rounds, medians."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from video_rs.benchmarks.process import started
from video_rs.benchmarks.subjects import PEER, PEERS, Subject, gflop_per_clip
from video_rs.runtime.errors import InputError


@dataclass
class Measured:
    """What one subject's process said: seconds of calls, or GFLOP/s of single layers, and peak memory in MiB."""

    subject: Subject
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    warm_memory_mb: float | None = None
    peak_memory_mb: float | None = None
    memory_per_clip_mb: float | None = None

    def row(self, gflop: float | None) -> dict[str, Any]:
        """The row of the JSON: medians; ``gflop`` is the work of one clip, None for single layers."""
        speed = self.subject.batch / statistics.median(self.seconds) if self.seconds else None
        return {
            "name": self.subject.name,
            "clips_per_s": speed,
            "gflop_per_clip": gflop,
            "gflops_per_s": speed * gflop if speed else statistics.median(self.rates),
            "peak_memory_mb": self.peak_memory_mb,
            "memory_per_clip_mb": self.memory_per_clip_mb,
            "calls": len(self.seconds or self.rates),
            "spread": spread(self.seconds or self.rates),
            "subject": dataclasses.asdict(self.subject),
        }


def spread(values: Sequence[float]) -> float:
    """Interquartile range over the median; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle


def measure(subjects: Sequence[Subject], rounds: int, say: Callable[[str], None]) -> list[Measured]:
    """Every subject in turn, ``rounds`` times over, so that what slows the machine for a while slows all of them.

    Raises:
        InputError: a subject that cannot be measured; no process is left.
    """
    measured = [Measured(subject) for subject in subjects]
    with started(subjects, say) as processes:
        for i in range(rounds):
            say(f"round {i + 1} of {rounds}")
            for one, process in zip(measured, processes, strict=True):
                answer = process.measure()
                one.seconds += answer.get("seconds", [])
                one.rates += answer.get("rates", [])
        for one, process in zip(measured, processes, strict=True):
            one.warm_memory_mb, one.peak_memory_mb = process.warm_memory_mb, process.end()["peak_memory_mb"]
    return measured


def measure_rows(subjects: Sequence[Subject], rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The rows of a benchmark.

    Args:
        subjects: of :func:`video_rs.benchmarks.subjects.subjects_of`.
        rounds: how often each subject has its turn.
        say: takes lines of progress.

    Raises:
        InputError: a subject that cannot be measured. What its clip or an absent library forbids is found before
            anything is measured.
    """
    work = [gflop_per_clip(subject) for subject in subjects]
    measured = measure(subjects, rounds, say)
    add_memory_per_clip(measured, say)
    return [one.row(gflop) for one, gflop in zip(measured, work, strict=True)]


def add_memory_per_clip(measured: Sequence[Measured], say: Callable[[str], None]) -> None:
    """What one more clip in the batch takes in training ours and the main peer.

    It is the difference between the peaks at four times the batch and at the batch, per clip, both after two calls:
    what a process holds besides (libraries, weights, optimizer) falls out. Where the larger batch cannot be run, most
    likely for want of memory, that is said, and the row stays without it.
    """
    for one in measured:
        if one.subject.kind != "train" or one.subject.network in set(PEERS) - {PEER} or one.warm_memory_mb is None:
            continue
        clips = 4 * one.subject.batch
        larger = dataclasses.replace(one.subject, batch=clips, name=f"{one.subject.name}, {clips} clips")
        try:
            with started([larger], say) as (process,):
                one.memory_per_clip_mb = (process.warm_memory_mb - one.warm_memory_mb) / (3 * one.subject.batch)
        except InputError as error:
            say(f"no memory per clip for {one.subject.name}: {error}")
