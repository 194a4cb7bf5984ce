"""Subjects in processes of their own, which start without settings of threads or memory in their environment."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from video_rs.benchmarks.subject import EVAL, Subject
from video_rs.runtime.errors import InputError

# The module that a process runs.
WORKER = "video_rs.benchmarks.worker"
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
    """Return this process's environment without :data:`SETTINGS`."""
    return {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}


def environment_of(subject: Subject) -> dict[str, str]:
    """Return the environment of a subject's process: a bare one, where our testing sets what the command sets."""
    environment = bare_environment()
    if subject.kind == EVAL and subject.has_our_settings:
        # As ``let_idle_threads_sleep`` of the command: threads that spin take the time of the processes that read.
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
    return environment


class Process:
    """One subject's process: :mod:`video_rs.benchmarks.worker`. It starts at once; :meth:`wait_until_warm` is next.

    Every method but ``close`` raises InputError if the process refuses, fails or dies.

    Args:
        subject: what is measured.
        name: what it is called in errors.

    Attributes:
        warm_memory_mb: peak memory after two calls, in MiB; None where the system hides it.
    """

    def __init__(self, subject: Subject, name: str):
        self.name = name
        self.warm_memory_mb: float | None = None
        self.timer: threading.Timer | None = None
        self.is_late = False
        command = [sys.executable, "-m", WORKER, json.dumps(dataclasses.asdict(subject))]
        # A file, not a pipe: nobody reads it while the process runs, and a full pipe would stop it.
        self.errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - close() closes it
        # The process has a session of its own, so that close() reaches what it started, too: compilers, readers.
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment_of(subject),
            start_new_session=True,
        )

    def end_after(self, seconds: float) -> None:
        """Kill the process where it is still there after so many seconds, whatever it does then."""
        self.timer = threading.Timer(seconds, self._end_late)
        self.timer.start()

    def wait_until_warm(self) -> None:
        """Return once the subject is built and called twice."""
        self.warm_memory_mb = self._answer()["peak_memory_mb"]

    def measure(self) -> dict[str, list[float]]:
        """Return the numbers of one round, lists by their names."""
        # A process that is dead says why in its answer.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("go\n")
            self.process.stdin.flush()
        return self._answer()

    def end(self) -> dict[str, float | None]:
        """End the process; return ``peak_memory_mb``, None where the system hides it, and what else belongs to it."""
        self.process.stdin.close()
        return self._answer()

    def close(self) -> None:
        """Kill the process and what it started, whatever they do."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer.join()
        self._kill()
        self.process.wait()

        for file in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(BrokenPipeError):
                file.close()

    def _kill(self) -> None:
        # While the process has not been waited for, nobody else can have its number.
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()

    def _end_late(self) -> None:
        self.is_late = True
        self._kill()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": self._last_words()}
        if "error" in answer:
            raise InputError(f"{self.name} cannot be measured: {answer['error']}")
        return answer

    def _last_words(self) -> str:
        """Return why a process has ended that did not say so."""
        if self.is_late:
            return "its time was up"

        code = self.process.wait()
        if code == -signal.SIGKILL:
            return "its process was killed, most likely because memory ran out; take a smaller --batch"

        self.errors.seek(0)
        lines = self.errors.read().strip().splitlines()
        return lines[-1] if lines else f"its process ended with code {code}"


@contextlib.contextmanager
def started(
    subjects: Sequence[Subject], report: Callable[[str], None], suffix: str = "", time_limit: float | None = None
) -> Iterator[list[Process]]:
    """Start a process for each subject, one after the other; at the end none is left, whatever happened.

    Args:
        subjects: what to measure.
        report: takes lines of progress.
        suffix: of the subjects' names.
        time_limit: seconds that each process may be there; None: as long as it takes.
    """
    processes: list[Process] = []
    try:
        for subject in subjects:
            name = f"{subject.name}{suffix}"
            report(f"building {name}")
            processes.append(Process(subject, name))
            if time_limit is not None:
                processes[-1].end_after(time_limit)
            processes[-1].wait_until_warm()
        yield processes
    finally:
        for process in processes:
            process.close()
