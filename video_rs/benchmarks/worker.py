"""A process that measures one subject when its parent says so: ``python -m video_rs.benchmarks.worker SUBJECT_JSON``.

Every answer is one line of JSON on stdout: first ``{"peak_memory_mb"}`` once all is built and called twice, then for
each line "go" on stdin the numbers of a round, lists by their names, and at the end of stdin ``{"peak_memory_mb"}``
again, with what else belongs to the end. ``{"error"}`` may be the last answer at any time.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from video_rs.benchmarks.data_calls import DataRounds
from video_rs.benchmarks.eval_calls import eval_rounds
from video_rs.benchmarks.loop_calls import LoopRounds
from video_rs.benchmarks.memory import family_memory_mb, peak_memory_mb
from video_rs.benchmarks.network_calls import NetworkRounds
from video_rs.benchmarks.subject import DATA, EVAL, LOOP, Subject
from video_rs.runtime.allocator import keep_large_blocks
from video_rs.runtime.errors import InputError


class Rounds(Protocol):
    """Measures one subject."""

    def warm_up(self) -> None:
        """Do what happens once: allocate memory, choose kernels."""

    def measure(self) -> dict[str, list[float]]:
        """Measure one round; return numbers by their names."""

    def end(self) -> dict[str, float]:
        """Return what is known at the end."""


ROUNDS: dict[str, Callable[[Subject], Rounds]] = {DATA: DataRounds, EVAL: eval_rounds, LOOP: LoopRounds}


def main() -> None:
    """Build the subject, then answer until stdin ends."""
    answers = os.fdopen(os.dup(1), "w")
    # What libraries print goes to stderr.
    os.dup2(2, 1)
    fields = json.loads(sys.argv[1])
    subject = Subject(**{**fields, "videos": tuple(fields["videos"])})
    try:
        work(subject, answers)
    except InputError as error:
        write(answers, {"error": str(error)})
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        write(answers, {"error": f"{type(error).__name__}: {first_line}"})
        raise


def work(subject: Subject, answers: TextIO) -> None:
    """Answer the parent."""
    if subject.has_our_settings:
        keep_large_blocks()
    rounds = ROUNDS.get(subject.kind, NetworkRounds)(subject)
    rounds.warm_up()
    write(answers, {"peak_memory_mb": peak_memory_mb(subject.device)})

    for _ in sys.stdin:
        write(answers, rounds.measure())
    write(answers, {"peak_memory_mb": _memory_at_the_end(subject), **rounds.end()})


def _memory_at_the_end(subject: Subject) -> float | None:
    """Return what the process has taken at most; where others read for it, what all of them hold now."""
    others_read = subject.kind in (LOOP, EVAL) and subject.device == "cpu"
    if subject.kind == DATA or others_read:
        return family_memory_mb()
    return peak_memory_mb(subject.device)


def write(answers: TextIO, message: dict[str, Any]) -> None:
    """Write one line of JSON."""
    answers.write(json.dumps(message) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
