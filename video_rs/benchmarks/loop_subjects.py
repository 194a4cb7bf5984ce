"""What the benchmark of whole training loops measures, as plain data for a process, and its ratios and table."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from video_rs.benchmarks.benchmark import spread
from video_rs.benchmarks.process import started
from video_rs.benchmarks.subjects import PEER, forward_gflop

BARE, LOOP, AVERAGED, OURS, THEIRS = "bare step", "our loop", "our loop, EMA", "our run", "pytorchvideo loop"
MEANINGS = {
    BARE: "forward, backward, optimizer; one batch in memory",
    LOOP: "our trainer and loop without EMA; batches in memory",
    AVERAGED: "the same with EMA, as published",
    OURS: "the whole run on files: reading processes, trainer, loop, EMA",
    THEIRS: f"its dataset, torch's DataLoader, {PEER.split()[1]} and SGD as shipped, on the same files",
}
CHECKPOINT_STEPS = 100  # the period that a checkpoint's cost is spread over


@dataclasses.dataclass(frozen=True)
class LoopSubject:
    """One row.

    Attributes:
        name: of the row.
        how: a key of :data:`MEANINGS`.
        network: a model of ours, or the peer.
        videos: paths.
        batch, frames, size: clips of ``[batch, 3, frames, size, size]``.
        workers: reading processes.
        kind, device: as of :class:`video_rs.benchmarks.subjects.Subject`.
    """

    name: str
    how: str
    network: str
    videos: Sequence[str]
    batch: int
    frames: int
    size: int
    workers: int
    kind: str = "loop"
    device: str = "cpu"
    precision: str = "float32"

    @property
    def has_our_settings(self) -> bool:
        """Whether our settings of the process belong to it."""
        return self.how != THEIRS


def loop_subjects(
    network: str, videos: Sequence[str], peers: bool, workers: int, clip: Mapping[str, Any]
) -> list[LoopSubject]:
    """All rows; ``clip`` has batch, frames, size, device and precision."""
    ways = [how for how in MEANINGS if how != THEIRS or peers]
    return [LoopSubject(how, how, PEER if how == THEIRS else network, videos, workers=workers, **clip) for how in ways]


def measure_loops(subjects: Sequence[LoopSubject], rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The rows: all in turn, ``rounds`` times over, each in a process of its own; medians."""
    answers: list[list[dict[str, Any]]] = [[] for _ in subjects]
    with started(subjects, say) as processes:
        for i in range(rounds):
            say(f"round {i + 1} of {rounds}")
            for mine, process in zip(answers, processes, strict=True):
                mine.append(process.measure())
        memory = [process.end()["peak_memory_mb"] for process in processes]
    return [_row(*one) for one in zip(subjects, answers, memory, strict=True)]


def _row(subject: LoopSubject, answers: Sequence[Mapping[str, Any]], memory: float | None) -> dict[str, Any]:
    seconds = [second for answer in answers for second in answer["seconds"]]
    speed = subject.batch / statistics.median(seconds)
    gflop = 3 * forward_gflop(subject.network, subject.frames, subject.size)
    row = {
        "name": subject.name,
        "clips_per_s": speed,
        "gflop_per_clip": gflop,
        "gflops_per_s": speed * gflop,
        "peak_memory_mb": memory,
        "calls": len(seconds),
        "spread": spread(seconds),
        "data_wait": statistics.median(answer["data_wait"] for answer in answers),
        "subject": {**dataclasses.asdict(subject), "videos": len(subject.videos)},
    }
    if subject.how == AVERAGED:
        row["checkpoint_s"] = statistics.median(answer["checkpoint_s"] for answer in answers)
    return row


def loop_ratios(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Ours over the peer in GFLOP/s; what the loop, the average and a checkpoint every hundred steps add to a step."""
    by_name = {row["name"]: row for row in rows}
    step = {name: row["subject"]["batch"] / row["clips_per_s"] for name, row in by_name.items()}
    ratios = {
        f"time of a step, {LOOP} / {BARE}": step[LOOP] / step[BARE],
        f"time of a step, {AVERAGED} / {BARE}": step[AVERAGED] / step[BARE],
        f"time of {CHECKPOINT_STEPS} steps, with a checkpoint / without": 1
        + by_name[AVERAGED]["checkpoint_s"] / (CHECKPOINT_STEPS * step[AVERAGED]),
    }
    if THEIRS in by_name:
        ratios[f"GFLOP/s, {OURS} / {THEIRS}"] = by_name[OURS]["gflops_per_s"] / by_name[THEIRS]["gflops_per_s"]
        ratios[f"clips/s, {OURS} / {THEIRS}"] = by_name[OURS]["clips_per_s"] / by_name[THEIRS]["clips_per_s"]
    return ratios


def loop_table(result: Mapping[str, Any]) -> str:
    """The rows as aligned text, then the ratios, what each row is, and the machine."""
    lines = [("", "network", "clip", "clips/s", "GFLOP/s", "data wait", "MiB", "spread")]
    for row in result["rows"]:
        subject, memory = row["subject"], row["peak_memory_mb"]
        clip = f"{subject['batch']} x {subject['frames']} x {subject['size']}"
        numbers = [f"{row['clips_per_s']:.3f}", f"{row['gflops_per_s']:.1f}", f"{row['data_wait']:.1%}"]
        held = "" if memory is None else f"{memory:.0f}"
        lines.append((row["name"], subject["network"], clip, *numbers, held, f"{row['spread']:.0%}"))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    text += ["", *(f"{value:6.3f}  {name}" for name, value in result["ratios"].items())]
    text += ["", *(f"{row['name']}: {MEANINGS[row['subject']['how']]}" for row in result["rows"])]
    machine = result["machine"]
    return "\n".join([*text, "", f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}"])
