"""How fast the runs of a study go: some steps of one, taken as many times beside each other as runs will be."""

import statistics
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from video_rs.reports import read_log
from video_rs.runtime.errors import InputError
from video_rs.runtime.families import end_family
from video_rs.runtime.unfinished import temporary_folder
from video_rs.studies.run_process import environment, video_rs
from video_rs.studies.study import Study, StudyRun

PROBE_STEPS = 24
PROBE_LOG_STEPS = 8


class Speed(NamedTuple):
    """How fast a run goes: clips per second of training, and the seconds that it takes beside."""

    clips_per_second: float
    start_seconds: float


def probe(study: Study, run: StudyRun, jobs: int, processes: int) -> Speed:
    """Take some steps of a run, as many times beside each other as runs will be, and return how fast they were.

    Raises:
        InputError: training refuses the run.
    """
    with temporary_folder("video_rs_probe_") as folder:
        paths = [folder / str(number) for number in range(jobs)]
        for path in paths:
            config = study.config(
                run,
                OUTPUT_DIR=str(path),
                SOLVER__MAX_STEPS=PROBE_STEPS,
                TRAIN__LOG_PERIOD=PROBE_LOG_STEPS,
                DATA__VAL_LIST="",
            )
            path.with_suffix(".yaml").write_text(config.dump(), encoding="utf-8")
        started = []
        try:
            for path in paths:
                started.append(_start_probe(study, path, processes))
            began = time.monotonic()
            said = [process.communicate()[0] for process in started]
        finally:
            # After a Ctrl-C, too, no process is left to itself, nor writes into a folder that is removed.
            for process in started:
                end_family(process)
        passed = time.monotonic() - began
        for process, text in zip(started, said, strict=True):
            if process.returncode:
                last = (text.strip().splitlines() or ["it printed nothing"])[-1]
                raise InputError(f"{run.name} does not train: {last.removeprefix('error: ')}")
        clips_per_second = statistics.mean(_speed(path) for path in paths)
    clips = PROBE_STEPS * study.config(run).TRAIN.BATCH_SIZE
    return Speed(clips_per_second, max(0.0, passed - clips / clips_per_second))


def _start_probe(study: Study, path: Path, processes: int) -> subprocess.Popen:
    command = [*video_rs(processes), "train", "--cfg", str(path.with_suffix(".yaml"))]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(study)
    )


def _speed(folder: Path) -> float:
    """Return clips per second of a probe, without its first steps."""
    rates = [record["clips_per_s"] for record in read_log(folder / "log.jsonl") if record["kind"] == "train"]
    return statistics.mean(rates[1:])
