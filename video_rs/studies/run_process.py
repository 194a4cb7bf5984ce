"""The process of a run: its command, its environment, and what it said when it failed."""

import os
import sys
from pathlib import Path

from video_rs.studies.study import Study

OUTPUT = "output.txt"
"""The file in the folder of a run that has what its process printed."""
_TAIL = 4096  # bytes in which the last line is looked for


def video_rs(processes: int) -> list[str]:
    """Return how ``video-rs`` is called with this Python; more than one process are started through torchrun."""
    launcher = []
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return [sys.executable, *launcher, "-m", "video_rs"]


def command(study: Study, name: str, processes: int = 1, *more: str) -> list[str]:
    """Return the command line that does a run.

    Args:
        study: of the run.
        name: of the run.
        processes: of the run; more than one are started through torchrun.
        more: options at the end.
    """
    return [*video_rs(processes), "study", str(study.folder.resolve()), "--only", name, *more]


def environment(study: Study) -> dict[str, str]:
    """Return the environment of a run's process: ours, and the study's threads."""
    threads = str(study.threads)
    return {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}


def output_file(study: Study, name: str) -> Path:
    """Return the file that takes what a run prints."""
    return study.run_folder(study.run(name)) / OUTPUT


def failure(study: Study, name: str, code: int) -> str | None:
    """Return why the process of a run failed: its last line; None where it did not."""
    if code == 0:
        return None
    path = output_file(study, name)
    lines = path.read_bytes()[-_TAIL:].decode("utf-8", "replace").split("\n") if path.exists() else []
    said = [line.strip() for line in lines if line.strip()]
    last = said[-1].removeprefix("error: ") if said else "it printed nothing"
    return f"exit code {code}: {last}"
