"""Speed and memory against peers: every subject in a process of its own, interleaved over rounds, medians.

The processes start without settings of threads or memory in their environment; ours make their own, as the tools do.
"""

import contextlib
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from video_rs.errors import InputError
from video_rs.models import architecture
from video_rs.studies.subjects import Subject, forward_subjects, train_subjects

SETTINGS = (
    "OMP_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
    "MALLOC_",
    "DNNL_",
    "ONEDNN_",
    "TORCH",
    "PYTORCH_",
    "LD_PRELOAD",
)


@dataclass
class Measured:
    """What one subject's process said."""

    subject: Subject
    gflop_per_clip: float | None
    seconds: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    peak_memory_mb: float | None = None
    memory_per_clip_mb: float | None = None

    def row(self) -> dict[str, Any]:
        """The row of the JSON: medians; rates count 2 per multiply-add."""
        speed = self.subject.batch / statistics.median(self.seconds) if self.seconds else None
        rate = speed * self.gflop_per_clip if speed else statistics.median(self.rates)
        return {
            "name": self.subject.name,
            "clips_per_s": speed,
            "gflop_per_clip": self.gflop_per_clip,
            "gflops_per_s": rate,
            "peak_memory_mb": self.peak_memory_mb,
            "memory_per_clip_mb": self.memory_per_clip_mb,
            "calls": len(self.seconds or self.rates),
            "spread": spread(self.seconds or self.rates),
            "subject": dataclasses.asdict(self.subject),
        }


def spread(values: Sequence[float]) -> float:
    """Interquartile range over the median."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4)
    return (high - low) / middle


class Process:
    """One subject in a process of its own."""

    def __init__(self, subject: Subject):
        environment = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
        command = [sys.executable, "-m", "video_rs.studies.worker", json.dumps(dataclasses.asdict(subject))]
        # A file, not a pipe: nobody reads it while the process runs, and a full pipe would stop it.
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - close() closes it
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=self.errors, text=True, env=environment
        )
        self.measured = Measured(subject, None)
        self.measured.gflop_per_clip = self._answer()["gflop_per_clip"]

    def measure(self) -> None:
        """One round."""
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        answer = self._answer()
        self.measured.seconds += answer.get("seconds", [])
        self.measured.rates += answer.get("rates", [])

    def end(self) -> Measured:
        """Ends the process, and all that it said."""
        self.process.stdin.close()
        self.measured.peak_memory_mb = self._answer()["peak_memory_mb"]
        self.process.wait()
        return self.measured

    def close(self) -> None:
        """Kills the process if it still runs."""
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            file.close()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            self.errors.seek(0)
            last = self.errors.read().strip().splitlines()[-1:]
            raise InputError(f"{self.measured.subject.name} cannot be measured: {' '.join(last) or 'its process died'}")
        return json.loads(line)


@contextlib.contextmanager
def started(subjects: Sequence[Subject], say: Callable[[str], None]) -> Iterator[list[Process]]:
    """A process for each subject, built one after the other; those that are left are killed."""
    processes: list[Process] = []
    try:
        for subject in subjects:
            say(f"building {subject.name}")
            processes.append(Process(subject))
        yield processes
    finally:
        for process in processes:
            process.close()


def measure(subjects: Sequence[Subject], rounds: int, say: Callable[[str], None]) -> list[Measured]:
    """Every subject in turn, ``rounds`` times over, so that what slows the machine for a while slows all of them."""
    with started(subjects, say) as processes:
        for i in range(rounds):
            say(f"round {i + 1} of {rounds}")
            for process in processes:
                process.measure()
        return [process.end() for process in processes]


def measure_rows(
    what: str, network: str, peers: bool, clip: Mapping[str, Any], rounds: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The rows of a benchmark.

    Args:
        what: "model" (forward passes) or "train" (optimizer steps).
        network: ours, one of :func:`video_rs.list_models`.
        peers: whether to measure :data:`video_rs.studies.subjects.PEERS` too.
        clip: batch, frames, size, device and precision of :class:`Subject`.
        rounds: how often each subject has its turn.
        say: takes lines of progress.

    Raises:
        InputError: an unknown network, or a subject that cannot be measured at this clip.
    """
    architecture(network)
    subjects = {"model": forward_subjects, "train": train_subjects}[what](network, peers, clip)
    measured = measure(subjects, rounds, say)
    if what == "train":
        add_memory_per_clip([one for one in measured if one.subject.network == network], say)
    return [one.row() for one in measured]


def add_memory_per_clip(measured: Sequence[Measured], say: Callable[[str], None]) -> None:
    """What one more clip in the batch takes: the difference between four times the batch and the batch, per clip."""
    for one in measured:
        larger = dataclasses.replace(one.subject, batch=4 * one.subject.batch)
        peaks = [measure([subject], 1, say)[0].peak_memory_mb for subject in (one.subject, larger)]
        if None not in peaks:
            one.memory_per_clip_mb = (peaks[1] - peaks[0]) / (3 * one.subject.batch)


def creation_seconds(network: str, repeats: int) -> float:
    """Importing video_rs and creating a network, after torch and torchvision are imported; median of processes."""
    code = (
        "import time, torch, torchvision; started = time.perf_counter(); import video_rs; "
        f"video_rs.create_model({network!r}); print(time.perf_counter() - started)"
    )
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(repeats)]
    return statistics.median(float(run.stdout) for run in runs)


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
    }


def processor() -> str:
    """The processor's name."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()
