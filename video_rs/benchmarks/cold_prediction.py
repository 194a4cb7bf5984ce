"""The first answer of a fresh process: what importing, loading, decoding and computing take of it."""

import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from video_rs.benchmarks.measuring import Report
from video_rs.benchmarks.networks import CLASSES
from video_rs.benchmarks.process import bare_environment
from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.checkpoint import FORMAT, save_checkpoint
from video_rs.models import create_model
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

# The module that a process runs.
WORKER = "video_rs.benchmarks.cold_worker"
STAGES = {
    "torch_s": "import torch and torchvision",
    "import_s": "import what predict needs of video_rs",
    "load_s": "load the checkpoint",
    "decode_s": "decode and resize the video",
    "compute_s": "compute",
}
# Over importing torch and torchvision, until the network is ready for views.
READY = ("import_s", "load_s")


@dataclass(frozen=True)
class ColdPrediction:
    """Seconds of the first answer of a process.

    Attributes:
        checkpoint: name of its file.
        views: of the video.
        samples: of each stage, and ``process_s`` of the whole process, one number for each process.
    """

    checkpoint: str
    views: int
    samples: dict[str, list[float]] = field(default_factory=dict)

    def median(self, stage: str) -> float:
        """Return the median over the processes."""
        return statistics.median(self.samples[stage])

    @property
    def ready_s(self) -> float:
        """Return the median seconds over importing torch and torchvision until the network is ready for views."""
        stages = [self.samples[stage] for stage in READY]
        return statistics.median(map(sum, zip(*stages, strict=True)))

    def to_json(self) -> dict[str, Any]:
        """Return the medians as plain data."""
        medians = {stage: self.median(stage) for stage in self.samples}
        processes = len(self.samples["process_s"])
        return {
            "checkpoint": self.checkpoint,
            "views": self.views,
            "processes": processes,
            "ready_s": self.ready_s,
            **medians,
        }


def measure_cold(checkpoint: Path, video: str, device: str, processes: int, report: Report) -> ColdPrediction:
    """Measure the first answer of some processes, one after the other.

    Raises:
        InputError: a process fails; the message has its last line.
    """
    samples: dict[str, list[float]] = {}
    views = 0

    for number in range(processes):
        report(f"cold prediction, process {number + 1} of {processes}")
        started = time.perf_counter()
        answer = _answer([str(checkpoint), video, device])
        answer["process_s"] = time.perf_counter() - started

        views = answer.pop("views")
        for stage, seconds in answer.items():
            samples.setdefault(stage, []).append(seconds)
    return ColdPrediction(checkpoint.name, views, samples)


def _answer(arguments: Sequence[str]) -> dict[str, Any]:
    """Return what a process says."""
    command = [sys.executable, "-m", WORKER, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=bare_environment())
    if done.returncode != 0:
        # A refusal is one line; of a traceback, the last line says what happened.
        silent = f"its process ended with code {done.returncode}"
        *_, last_line = [silent, *done.stderr.strip().splitlines()]
        raise InputError(f"cold prediction cannot be measured: {last_line}")

    # What libraries print comes before.
    return json.loads(done.stdout.splitlines()[-1])


def write_fresh_checkpoint(path: Path, network: str, preprocessing: Preprocessing) -> None:
    """Write a checkpoint as a run has it, with weights and their average, of a network that nobody has trained."""
    model = create_model(network, CLASSES)
    weights = model.state_dict()

    # Values play no part in how long anything takes.
    state = {
        "format": FORMAT,
        "model": weights,
        "ema": {name: value.clone() for name, value in weights.items()},
        "architecture": dataclasses.asdict(model.backbone.architecture),
        "num_classes": CLASSES,
        "multi_label": False,
        "label_names": [f"class {number}" for number in range(CLASSES)],
        "preprocessing": preprocessing.to_dict(),
        "config": "",
        "step": 0,
    }
    save_checkpoint(path, state)


def cold_lines(cold: ColdPrediction) -> list[str]:
    """Return what was measured, as lines below the table."""
    processes = pluralize(len(cold.samples["process_s"]), "process", "processes")
    views = pluralize(cold.views, "view")
    lines = ["", f"cold prediction of a video by {views}, {cold.checkpoint}, median of {processes}:"]

    for stage, meaning in STAGES.items():
        lines.append(f"{cold.median(stage):6.3f}  seconds to {meaning}")
    lines.append(
        f"{cold.ready_s:6.3f}  seconds over importing torch and torchvision until the network is ready: import and load"
    )
    lines.append(f"{cold.median('process_s'):6.3f}  seconds for the whole process")
    return lines
