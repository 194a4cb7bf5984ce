"""A process with all that it has started."""

import contextlib
import subprocess

import psutil


def end_family(process: subprocess.Popen) -> None:
    """Kill a process and all below it, where it has not ended by itself, and wait until it is gone."""
    # While it has not been waited for, nobody else can have its number.
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for member in [*family, process]:
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            member.kill()
    process.wait()
