"""Commands in fresh processes that have the package loaded when they start: importing takes longer than a small run."""

import multiprocessing
import os
import runpy
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import torch

from helpers.tools import ROOT, script

PROCESSES = multiprocessing.get_context("forkserver")
# None of these may read the environment that tests give their jobs, as the libraries behind timm do. Each process
# imports the main module of its parent, pytest, too.
PROCESSES.set_forkserver_preload(
    [
        *("torch._dynamo", "video_rs.runs.train", "video_rs.runs.find_lr", "video_rs.runs.knn"),
        *("video_rs.studies.running", "video_rs.studies.additive_report", "pytest"),
    ]
)
SECONDS = 240  # after which a process is taken for one that hangs


@dataclass(frozen=True)
class Finished:
    """What a job of one or more processes has left: the exit code of each, and what they printed together."""

    codes: list[int]
    out: str
    err: str


def run_job(folder, processes, name, *arguments, environment=None, before=""):
    """Run the script of a command in processes that find each other as those of torchrun do.

    Args:
        folder: where ``out.txt`` and ``err.txt`` are written.
        processes: 1 or more.
        name: of the command.
        arguments: of the command.
        environment: variables to add.
        before: Python code that every process executes first.
    """
    out, err = Path(folder, "out.txt"), Path(folder, "err.txt")
    command = [str(script(name)), *map(str, arguments)]
    port = free_port()
    started = []
    for rank in range(processes):
        variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
        variables.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port, **environment or {})
        started.append(PROCESSES.Process(target=_run, args=(command, variables, before, out, err)))
    for process in started:
        process.start()
    for process in started:
        process.join(SECONDS)
        if process.is_alive():
            # The others may wait for this one.
            process.kill()
            process.join()
    return Finished([process.exitcode for process in started], out.read_text(), err.read_text())


def start_job(folder, name, *arguments, before=""):
    """Start the script of a command in one process that is no rank of anything, and return that process.

    Args:
        folder: where ``out.txt`` and ``err.txt`` are written.
        name: of the command.
        arguments: of the command.
        before: Python code that the process executes first.
    """
    command = [str(script(name)), *map(str, arguments)]
    files = (Path(folder, "out.txt"), Path(folder, "err.txt"))
    process = PROCESSES.Process(target=_run, args=(command, {}, before, *files))
    process.start()
    return process


def free_port():
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _run(command, variables, before, out, err):
    for stream, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.chdir(ROOT)
    os.environ.update({name: str(value) for name, value in variables.items()})
    torch.set_num_threads(1)
    sys.argv = command
    exec(before, {})
    runpy.run_path(command[0], run_name="__main__")
