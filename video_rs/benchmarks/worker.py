"""A process that measures one subject when its parent says so: ``python -m video_rs.benchmarks.worker SUBJECT_JSON``.

Every answer is one line of JSON on stdout: first ``{"peak_memory_mb"}`` once all is built and called twice, then for
each line "go" on stdin ``{"seconds": [...]}`` (of whole loops with more beside it, of single layers and of data
``{"rates": [...]}``), and at the end of stdin ``{"peak_memory_mb"}`` again. ``{"error"}`` may be the last answer at any
time.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import torch

from video_rs.benchmarks.calls import CALLS, as_it_is, timed
from video_rs.benchmarks.data_calls import DataCall
from video_rs.benchmarks.data_subjects import DataSubject
from video_rs.benchmarks.loop_calls import LoopCall
from video_rs.benchmarks.loop_subjects import LoopSubject
from video_rs.benchmarks.subjects import Subject
from video_rs.runtime.errors import InputError

# A round ends after so many seconds or calls, whichever comes first, and never before the first call.
ROUND_SECONDS, ROUND_CALLS = 2.0, 10


def main() -> None:
    """Builds the subject, then answers until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to stderr
    subject = subject_of(json.loads(sys.argv[1]))
    try:
        with as_it_is(subject):
            work(subject, answers)
    except InputError as error:
        say(answers, {"error": str(error)})
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        say(answers, {"error": f"{type(error).__name__}: {first}"})
        raise


def work(subject: Subject, answers: TextIO) -> None:
    """The conversation with the parent."""
    call = {**CALLS, "data": DataCall, "loop": LoopCall}[subject.kind](subject)
    for _ in range(2):
        call()
    say(answers, {"peak_memory_mb": peak_memory_mb(subject.device)})
    for _line in sys.stdin:
        if subject.kind == "loop":
            say(answers, call())
        else:
            rates = subject.kind in ("layers", "data")
            say(answers, {"rates": [call()]} if rates else {"seconds": round_of(call, subject.device)})
    if subject.kind == "data":
        say(answers, {"peak_memory_mb": family_memory_mb(), "first_clip_s": call.first_clip_s})
    elif subject.kind == "loop" and subject.device == "cpu":
        say(answers, {"peak_memory_mb": family_memory_mb()})
    else:
        say(answers, {"peak_memory_mb": peak_memory_mb(subject.device)})


def subject_of(fields: dict[str, Any]) -> Subject | DataSubject | LoopSubject:
    """The subject that the command line describes."""
    return {"data": DataSubject, "loop": LoopSubject}.get(fields["kind"], Subject)(**fields)


def family_memory_mb() -> float | None:
    """What this process and all below it hold now, shared pages divided among those that share them, in MiB.

    None where the system hides it.
    """
    sizes = [_proportional_mb(process) for process in (os.getpid(), *descendants(os.getpid()))]
    return None if sizes[0] is None else sum(filter(None, sizes))


def _proportional_mb(process: int) -> float | None:
    """None for a process that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 2**10


def descendants(process: int) -> list[int]:
    """Processes below one, on Linux."""
    children = [
        int(child)
        for task in Path(f"/proc/{process}/task").glob("*/children")
        for child in task.read_text(encoding="utf-8").split()
    ]
    return children + [below for child in children for below in descendants(child)]


def round_of(call: Callable[[], object], device: str) -> list[float]:
    """Seconds of each call of one round."""
    seconds: list[float] = []
    ends = time.perf_counter() + ROUND_SECONDS
    while not seconds or (time.perf_counter() < ends and len(seconds) < ROUND_CALLS):
        seconds.append(timed(call, device))
    return seconds


def peak_memory_mb(device: str) -> float | None:
    """Most memory that the process (on a GPU: its tensors there) has held, in MiB; None where the system hides it."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    # First what Linux counts anew for each program: the peak of getrusage is never below that of the parent.
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def say(answers: TextIO, message: dict[str, Any]) -> None:
    """One line of JSON."""
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
