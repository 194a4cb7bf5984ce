"""A GPU in minutes: one part after the other, each in a process and with a time of its own, until the time is up."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from video_rs.benchmarks.gpu_parts import Setting, gpu_subjects, product_subject
from video_rs.benchmarks.measuring import Measurement, Report, Row, measure_in_time, row_of, subject_json
from video_rs.benchmarks.network_benchmark import gflop_per_clip
from video_rs.benchmarks.peaks import Peak, measured_peak, stated_peak
from video_rs.benchmarks.subject import DATA, EVAL, FORWARD, LAYERS, LOOP, MAIN_PEER, OURS, PRODUCT, TRAIN, Subject
from video_rs.benchmarks.table import Column, clip_cell, four_digits, memory_cell, spread_cell
from video_rs.runtime.errors import InputError

# Seconds that a part may take at most; compiling a training step takes most of them.
PART_SECONDS = 150.0
# No part may take more than half of the time that is left, unless that is less than these seconds; and without a third
# of them none is begun.
FEW_SECONDS = 30.0
# What an error says where memory has run out, on a GPU and on a CPU.
OUT_OF_MEMORY = ("OutOfMemoryError", "memory ran out")
KINDS = {
    PRODUCT: "limit",
    LAYERS: "limit",
    FORWARD: "model",
    TRAIN: "train",
    LOOP: "loop",
    EVAL: "eval",
    DATA: "data",
}
"""What the parts of each kind are called."""


class Time:
    """The time that is left.

    Args:
        seconds: from now on.
        clock: seconds of a clock that never goes back.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic):
        self._clock = clock
        self._end = clock() + seconds

    @property
    def left(self) -> float:
        """Return the seconds until the end, below 0 after it."""
        return self._end - self._clock()


@dataclass(frozen=True)
class NotMeasured:
    """A part of which there are no numbers.

    Attributes:
        subject: what was to be measured.
        reason: why it was not.
    """

    subject: Subject
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {"name": self.subject.name, "error": self.reason, "subject": subject_json(self.subject)}


@dataclass
class Results:
    """What is known so far.

    Attributes:
        peak: of the device; None where nobody knows it.
        parts: the parts that have had their turn.
    """

    peak: Peak | None
    parts: list[Row | NotMeasured] = field(default_factory=list)

    def add(self, part: Row | NotMeasured) -> None:
        """Take in a part; a row of what is computed gets its share of the peak."""
        if isinstance(part, Row) and part.gflops_per_s is not None and self.peak is not None:
            part.more["utilisation"] = part.gflops_per_s / self.peak.gflops_per_s
        self.parts.append(part)

    @property
    def rows(self) -> list[Row]:
        """Return the parts that have numbers."""
        return [part for part in self.parts if isinstance(part, Row)]

    @property
    def not_measured(self) -> list[NotMeasured]:
        """Return the parts that have none."""
        return [part for part in self.parts if isinstance(part, NotMeasured)]

    def to_json(self) -> dict[str, Any]:
        """Return plain data: the peak, a row for every part, and ratios."""
        return {
            "peak": None if self.peak is None else self.peak._asdict(),
            "rows": [part.to_json() for part in self.parts],
            "ratios": gpu_ratios(self.rows),
        }


class GpuBenchmark:
    """Measures all parts in the order of their worth.

    Args:
        device_name: of the GPU; None for a CPU.
        rounds: of each part.
        time: that there is for all of them.
        report: takes lines of progress.
        save: takes what is known after each part.
    """

    def __init__(
        self,
        device_name: str | None,
        rounds: int,
        time: Time,
        report: Report,
        save: Callable[[Results], None],
    ):
        self.device_name = device_name
        self.rounds = rounds
        self.time = time
        self.report = report
        self.save = save
        # For each kind, network and length: the batch for which there was memory.
        self._batches: dict[tuple[str, str, int], int] = {}

    def run(self, setting: Setting) -> Results:
        """Measure what there is time for.

        A part that fails, or is not done in its time, has no numbers and ends no other one.
        """
        limit = self._part(product_subject(setting))
        peak = stated_peak(self.device_name, setting.precision)
        if peak is None and isinstance(limit, Row):
            peak = measured_peak(limit.gflops_per_s, setting.precision)

        results = Results(peak)
        results.add(limit)
        self.save(results)
        for subject in gpu_subjects(setting):
            results.add(self._part(subject))
            self.save(results)
        return results

    def _part(self, subject: Subject) -> Row | NotMeasured:
        """Return the row of a part, with the largest batch that there is memory for: the one asked for, or halves."""
        key = (subject.kind, subject.network, subject.frames)
        subject = dataclasses.replace(subject, batch=self._batches.get(key, subject.batch))
        while self.time.left > FEW_SECONDS / 3:
            try:
                return self._row(subject)
            except InputError as error:
                reason = str(error).removeprefix(f"{subject.name} cannot be measured: ")
            if subject.batch == 1 or not any(words in reason for words in OUT_OF_MEMORY):
                return NotMeasured(subject, reason)

            subject = dataclasses.replace(subject, batch=subject.batch // 2)
            self._batches[key] = subject.batch
            self.report(f"{reason}; trying {subject.batch} clips at a time")
        return NotMeasured(subject, "the time was up")

    def _row(self, subject: Subject) -> Row:
        """Return the row of a part; InputError where there is none."""
        gflop = None
        if subject.network:
            gflop = gflop_per_clip(subject)

        left = self.time.left
        seconds = min(PART_SECONDS, max(left / 2, FEW_SECONDS), left)
        self.report(f"{KINDS[subject.kind]}, {subject.frames} frames, {left:.0f} s left:")
        found = measure_in_time(subject, self.rounds, seconds, self.report)
        return row_of(found, gflop, data_wait=_data_wait(found))


def _data_wait(found: Measurement) -> float | None:
    """Return the share of the time that is spent on waiting for clips; None where none are read."""
    if found.subject.kind == EVAL:
        # Seconds of a view over those that it takes in all.
        return found.median("wait_s") * found.median("clips_per_s")
    return found.median("data_wait")


def gpu_ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Return ours in its fastest way over the main peer, of each kind and length of clips."""
    ratios = {}
    for peer in rows:
        if peer.subject.network != MAIN_PEER or peer.subject.kind not in (TRAIN, FORWARD):
            continue
        ours = [row for row in rows if row.subject.side == OURS and _clip_of(row) == _clip_of(peer)]
        if ours:
            best = max(ours, key=lambda row: row.clips_per_s)
            kind = f"{KINDS[peer.subject.kind]}, {peer.subject.frames} frames"
            names = f"{best.subject.name} / {peer.subject.name}"
            ratios[f"{kind}, GFLOP/s, {names}"] = best.gflops_per_s / peer.gflops_per_s
            ratios[f"{kind}, clips/s, {names}"] = best.clips_per_s / peer.clips_per_s
    return ratios


def _clip_of(row: Row) -> tuple[str, int]:
    return row.subject.kind, row.subject.frames


def _share_cell(name: str) -> Callable[[Row], str]:
    """Return what writes a share among the further numbers of a row as per cents."""

    def cell(row: Row) -> str:
        share = row.more.get(name)
        return "" if share is None else f"{share:.1%}"

    return cell


GPU_COLUMNS = [
    Column("", lambda row: KINDS[row.subject.kind], is_text=True),
    Column("way", lambda row: row.subject.method, is_text=True),
    Column("clip", clip_cell),
    Column("clips/s", lambda row: four_digits(row.clips_per_s)),
    Column("GFLOP/s", lambda row: four_digits(row.gflops_per_s)),
    Column("MFU", _share_cell("utilisation")),
    Column("data wait", _share_cell("data_wait")),
    Column("peak MiB", memory_cell),
    Column("spread", spread_cell),
]


def gpu_lines(results: Results) -> list[str]:
    """Return what utilisation is a share of, and what was not measured and why."""
    lines = []
    if results.peak is not None:
        lines.append(f"MFU: of {results.peak.source}")
    for part in results.not_measured:
        subject = part.subject
        clip = f"{subject.batch} x {subject.frames} x {subject.size}"
        lines.append(f"not measured: {KINDS[subject.kind]}, {subject.method}, {clip}: {part.reason}")
    return lines
