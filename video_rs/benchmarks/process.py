"""Subjects in processes of their own, which start without settings of threads or memory in their environment."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from video_rs.benchmarks.subjects import Subject
from video_rs.runtime.errors import InputError

# What somebody may have set to make PyTorch faster or slower. Ours sets what it needs itself, as the tools do.
SETTINGS = (
    "OMP_",
    "GOMP_",
    "KMP_",
    "MKL_",
    "OPENBLAS_",
    "MALLOC_",
    "GLIBC_TUNABLES",
    "LD_PRELOAD",
    "DNNL_",
    "ONEDNN_",
    "ATEN_CPU_",
    "TORCH",
    "PYTORCH_",
)


def bare_environment() -> dict[str, str]:
    """This process's environment without :data:`SETTINGS`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}


class Process:
    """One subject's process: :mod:`video_rs.benchmarks.worker`. It starts at once; :meth:`wait_until_warm` is next.

    Every method but ``close`` raises InputError if the process refuses, fails or dies.
    """

    def __init__(self, subject: Subject):
        self.subject = subject
        command = [sys.executable, "-m", "video_rs.benchmarks.worker", json.dumps(dataclasses.asdict(subject))]
        # A file, not a pipe: nobody reads it while the process runs, and a full pipe would stop it.
        self.errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - close() closes it
        # In a session of its own, so that close() reaches what it started too: compilers.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=bare_environment(),
            start_new_session=True,
        )

    def wait_until_warm(self) -> None:
        """Returns once the subject is built and called twice; ``warm_memory_mb`` is its peak memory until then."""
        self.warm_memory_mb: float | None = self._answer()["peak_memory_mb"]

    def measure(self) -> dict[str, list[float]]:
        """One round: ``{"seconds"}`` of each call, or ``{"rates"}`` of single layers in GFLOP/s."""
        with contextlib.suppress(BrokenPipeError):  # it is dead: _answer() says why
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        return self._answer()

    def end(self) -> dict[str, float | None]:
        """Ends the process: -> ``peak_memory_mb``, None where the system hides it; for data also ``first_clip_s``."""
        self.process.stdin.close()
        return self._answer()

    def close(self) -> None:
        """Kills the process and what it started, whatever they do."""
        # The process has not been waited for, so nobody else can have its number.
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(BrokenPipeError):
                file.close()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": self._last_words()}
        if "error" in answer:
            raise InputError(f"{self.subject.name} cannot be measured: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        """Why a process that did not say so has ended."""
        code = self.process.wait()
        if code == -signal.SIGKILL:
            return "its process was killed, most likely because memory ran out; take a smaller --batch"
        self.errors.seek(0)
        return " ".join(self.errors.read().strip().splitlines()[-1:]) or f"its process ended with code {code}"


@contextlib.contextmanager
def started(subjects: Sequence[Subject], say: Callable[[str], None]) -> Iterator[list[Process]]:
    """A process for each subject, built one after the other; at the end none is left, whatever happened."""
    processes: list[Process] = []
    try:
        for subject in subjects:
            say(f"building {subject.name}")
            processes.append(Process(subject))
            processes[-1].wait_until_warm()
        yield processes
    finally:
        for process in processes:
            process.close()
