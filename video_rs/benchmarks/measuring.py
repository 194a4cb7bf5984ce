"""Subjects in turn, over and over, so that what slows the machine for a while slows all of them; medians."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from video_rs.benchmarks.process import started
from video_rs.benchmarks.subject import Subject
from video_rs.runtime.errors import InputError

# What a round is measured in: seconds of calls, or a rate.
TIMED = ("seconds", "clips_per_s", "gflops_per_s")

# Takes a line of progress.
Report = Callable[[str], None]


@dataclass
class Measurement:
    """What one subject's process answered.

    Attributes:
        subject: what was measured.
        samples: lists of numbers by their names, over all rounds: ``seconds`` of calls, or rates ``clips_per_s`` or
            ``gflops_per_s``; what else belongs to a round.
        warm_memory_mb: peak memory after two calls, in MiB; None where the system hides it.
        end: what the process said at its end, ``peak_memory_mb`` among it.
    """

    subject: Subject
    samples: dict[str, list[float]] = field(default_factory=dict)
    warm_memory_mb: float | None = None
    end: dict[str, float | None] = field(default_factory=dict)

    def add_round(self, answer: dict[str, list[float]]) -> None:
        """Take in the answer to one round."""
        for name, values in answer.items():
            self.samples.setdefault(name, []).extend(values)

    def median(self, name: str) -> float | None:
        """Return the median of the samples of a name; None without any."""
        values = self.samples.get(name)
        return statistics.median(values) if values else None


@dataclass(frozen=True)
class Row:
    """Medians of one subject.

    Attributes:
        subject: what was measured.
        clips_per_s: None for single layers, which have no clip.
        gflop_per_clip: work of a clip; None where nothing is computed.
        gflops_per_s: the same over time.
        peak_memory_mb: in MiB; None where the system hides it.
        spread: interquartile range over the median.
        calls: how many numbers the median is of.
        more: what else was measured, by its name in the JSON.
    """

    subject: Subject
    clips_per_s: float | None
    gflop_per_clip: float | None
    gflops_per_s: float | None
    peak_memory_mb: float | None
    spread: float
    calls: int
    more: dict[str, float | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        own = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        more = own.pop("more")
        return {"name": self.subject.name, **own, **more, "subject": subject_json(self.subject)}


def subject_json(subject: Subject) -> dict[str, Any]:
    """Return a subject as plain data, with the number of its videos."""
    return {**dataclasses.asdict(subject), "videos": len(subject.videos)}


def measure(subjects: Sequence[Subject], rounds: int, report: Report) -> list[Measurement]:
    """Measure every subject in turn, ``rounds`` times over.

    Raises:
        InputError: a subject that cannot be measured; no process is left.
    """
    measured = [Measurement(subject) for subject in subjects]
    # All processes are there at once, each idle while another one is measured.
    with started(subjects, report) as processes:
        for number in range(rounds):
            report(f"round {number + 1} of {rounds}")
            for one, process in zip(measured, processes, strict=True):
                one.add_round(process.measure())
        for one, process in zip(measured, processes, strict=True):
            one.warm_memory_mb = process.warm_memory_mb
            one.end = process.end()
    return measured


def measure_in_time(subject: Subject, rounds: int, seconds: float, report: Report) -> Measurement:
    """Measure one subject alone, ``rounds`` times or as often as there is time for, at least once.

    Args:
        subject: what is measured.
        rounds: at most.
        seconds: after which its process is ended, whatever it does then.
        report: takes lines of progress.

    Raises:
        InputError: the subject cannot be measured, or its first round was not done in time.
    """
    measured = Measurement(subject)
    try:
        with started([subject], report, time_limit=seconds) as (process,):
            measured.warm_memory_mb = process.warm_memory_mb
            for _ in range(rounds):
                measured.add_round(process.measure())
            measured.end = process.end()
    except InputError:
        # What was measured before counts.
        if not measured.samples:
            raise
        measured.end = {"peak_memory_mb": measured.warm_memory_mb}
    return measured


def row_of(measured: Measurement, gflop: float | None, **more: float | None) -> Row:
    """Return the medians of a subject.

    Args:
        measured: with one of :data:`TIMED` at least.
        gflop: work of one clip; None where nothing is computed.
        more: what else the row has.
    """
    clips_per_s = measured.median("clips_per_s")
    if "seconds" in measured.samples:
        clips_per_s = measured.subject.batch / measured.median("seconds")

    # Single layers give this rate themselves; of networks it follows.
    gflops_per_s = measured.median("gflops_per_s")
    if clips_per_s is not None and gflop is not None:
        gflops_per_s = clips_per_s * gflop

    timed = next(measured.samples[name] for name in TIMED if name in measured.samples)
    peak = measured.end["peak_memory_mb"]
    return Row(measured.subject, clips_per_s, gflop, gflops_per_s, peak, spread(timed), len(timed), more)


def spread(values: Sequence[float]) -> float:
    """Return the interquartile range over the median; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / middle
