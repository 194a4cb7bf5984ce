"""What all training loops that are measured have in common: the steps of a round, their clock, batches in memory."""

import itertools
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch

from video_rs.benchmarks.networks import CLASSES
from video_rs.benchmarks.subject import Subject
from video_rs.data.loader import ClipBatch

ROUND_STEPS = 4
LEARNING_RATE = 1e-3


class Steps(NamedTuple):
    """What a round took.

    Attributes:
        seconds: of each step.
        waited: seconds of them that were spent on waiting for data.
    """

    seconds: list[float]
    waited: float


class StepClock:
    """Times the steps of a round, and what they wait for.

    Args:
        batches: that the steps take.

    Attributes:
        seconds: of each step.
        waited: seconds spent on waiting for batches.
    """

    def __init__(self, batches: Iterator[ClipBatch]):
        self.batches = batches
        self.seconds: list[float] = []
        self.waited = 0.0
        self._last = time.perf_counter()

    def waited_for(self) -> Iterator[ClipBatch]:
        """Yield the batches."""
        while True:
            asked = time.perf_counter()
            batch = next(self.batches)
            self.waited += time.perf_counter() - asked
            yield batch

    def ends_step(self) -> bool:
        """Take in that a step is over; return whether the round is."""
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now
        return len(self.seconds) == ROUND_STEPS

    def add_to_last_step(self) -> None:
        """Count the time since the last step as part of it."""
        self.seconds[-1] += time.perf_counter() - self._last


def memory_batches(subject: Subject) -> Iterator[ClipBatch]:
    """Yield the same random batch again and again, uint8."""
    shape = (subject.batch, 3, subject.frames, subject.size, subject.size)
    clips = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(subject.batch) % CLASSES
    return itertools.repeat(ClipBatch(clips, labels, subject.batch, [], []))
