"""A process with all that it has started."""

import contextlib
import subprocess
import time

import psutil

LONGEST = 10.0  # seconds that a killed process takes to go, on a busy machine


def end_family(process: subprocess.Popen) -> None:
    """Kill a process and all below it, where it has not ended by itself, and wait until they are gone."""
    # While it has not been waited for, nobody else can have its number.
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for member in [*family, process]:
        with contextlib.suppress(psutil.NoSuchProcess, OSError):
            member.kill()
    process.wait()

    # In a container, nobody may ask those below for their exit codes.
    late = time.monotonic() + LONGEST
    while any(map(is_running, family)) and time.monotonic() < late:
        time.sleep(0.02)


def is_running(process: psutil.Process) -> bool:
    """Return whether a process still does anything: a dead one whose exit code nobody has asked for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
