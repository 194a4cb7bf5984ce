"""A training loop as a function that measures one round of it: seconds of each step, and what else belongs to it."""

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from video_rs.benchmarks import data_calls
from video_rs.benchmarks.calls import PRECISIONS, network_of, precision_of, timed
from video_rs.benchmarks.data_subjects import DataSubject
from video_rs.benchmarks.loop_subjects import AVERAGED, BARE, LOOP, OURS, THEIRS, LoopSubject
from video_rs.benchmarks.subjects import CLASSES
from video_rs.data.loader import ClipBatch
from video_rs.data.transforms import to_float
from video_rs.engine.average import Ema
from video_rs.engine.checkpoint_writer import CheckpointWriter
from video_rs.engine.guards import FailureLimit, NonFiniteLimit
from video_rs.engine.loop import Hooks, fit
from video_rs.engine.objectives import Classification
from video_rs.engine.objectives.losses import SoftmaxLoss
from video_rs.engine.optimizer import parameter_groups, set_learning_rate, sgd
from video_rs.engine.schedule import Plan, Schedule
from video_rs.engine.step import Step
from video_rs.runtime.errors import Stopped

ROUND_STEPS = 4
RATE = 1e-3


class LoopCall:
    """One round of :data:`ROUND_STEPS`: -> ``seconds`` of each, the share of them spent on waiting for data, and, for
    our loop with EMA, the seconds that a checkpoint at its start adds to a second round.
    """

    def __init__(self, subject: LoopSubject):
        self.subject = subject
        self.run: Callable[[], tuple[list[float], float]] = WAYS[subject.how](subject)

    def __call__(self) -> dict[str, Any]:
        seconds, waited = self.run()
        answer = {"seconds": seconds, "data_wait": waited / sum(seconds)}
        if self.subject.how == AVERAGED:
            with_one, _ = self.run(checkpoint=True)
            answer["checkpoint_s"] = sum(with_one) - sum(seconds)
        return answer


def memory_batches(subject: LoopSubject) -> Iterator[ClipBatch]:
    """The same random batch again and again, uint8."""
    shape = (subject.batch, 3, subject.frames, subject.size, subject.size)
    clips = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return itertools.repeat(ClipBatch(clips, torch.arange(subject.batch) % CLASSES, subject.batch, [], []))


class BareStep:
    """Nothing but what every training step has."""

    def __init__(self, subject: LoopSubject):
        self.subject = subject
        batch = next(memory_batches(subject))
        self.clips = to_float(batch.clips, memory_format=torch.channels_last_3d).to(subject.device)
        self.labels = batch.labels.to(subject.device)
        self.network = network_of(subject).train()
        groups = parameter_groups(self.network, self.network.weight_decay_names(), 4e-5)
        self.optimizer = sgd(groups, momentum=0.9, nesterov=True)
        set_learning_rate(self.optimizer, RATE)

    def __call__(self) -> tuple[list[float], float]:
        return [timed(self.step, self.subject.device) for _ in range(ROUND_STEPS)], 0.0

    def step(self) -> None:
        """Forward, backward, optimizer."""
        with precision_of(self.subject):
            logits = self.network(self.clips)
        functional.cross_entropy(logits.float(), self.labels, label_smoothing=0.1).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class OurLoop:
    """:func:`fit` over a stream of batches that goes on from round to round."""

    def __init__(self, subject: LoopSubject, batches: Iterator[ClipBatch], averaged: bool, ahead: int = 0):
        network = network_of(subject)
        optimizer = sgd(parameter_groups(network, network.weight_decay_names(), 4e-5), momentum=0.9, nesterov=True)
        self.plan = Plan(
            total_steps=10**9,
            batch_size=subject.batch,
            num_samples=10**9,
            log_steps=10,  # as a run's
            validation_epochs=10**9,
            checkpoint_steps=10**9,
        )
        device = torch.device(subject.device)

        def prepare(clips: torch.Tensor) -> torch.Tensor:
            return to_float(clips.to(device), memory_format=torch.channels_last_3d)

        self.step = Step(
            network,
            optimizer,
            Classification(SoftmaxLoss(CLASSES, 0.1), prepare),
            Schedule(RATE, self.plan.total_steps),
            average=Ema(network, 0.9999) if averaged else None,
            precision=PRECISIONS[subject.precision],
        )
        self.batches, self.ahead = batches, ahead
        self.folder = tempfile.TemporaryDirectory()
        self.writer = CheckpointWriter(Path(self.folder.name) / "last.pth")

    def __call__(self, checkpoint: bool = False) -> tuple[list[float], float]:
        for _ in range(self.ahead):  # what was read while others had their turn
            next(self.batches)
        seconds, waits, last = [], [], [time.perf_counter()]

        def waited_for() -> Iterator[ClipBatch]:
            while True:
                asked = time.perf_counter()
                batch = next(self.batches)
                waits.append(time.perf_counter() - asked)
                yield batch

        def after_a_step() -> bool:
            now = time.perf_counter()
            seconds.append(now - last[0])
            last[0] = now
            return len(seconds) == ROUND_STEPS

        if checkpoint:
            self.writer.write(self.step.state_dict())
        with contextlib.suppress(Stopped):
            hooks = Hooks(*[lambda *_: None] * 5, should_stop=after_a_step)
            fit(self.step, waited_for(), self.plan, hooks, FailureLimit(1.0, self.plan.num_samples), NonFiniteLimit())
        if checkpoint:  # what it still takes is part of its cost
            self.writer.wait()
            seconds[-1] += time.perf_counter() - last[0]
        return seconds, sum(waits)


def in_memory(subject: LoopSubject) -> OurLoop:
    """Our loop without files."""
    return OurLoop(subject, memory_batches(subject), subject.how == AVERAGED)


def on_files(subject: LoopSubject) -> OurLoop:
    """Our loop on our loader, as training builds it."""
    loader = data_calls.loader_of(_reading(subject, "ours pyav"), subject.batch, subject.workers)
    ahead = max(2 * subject.batch, 2 * subject.workers) // subject.batch
    return OurLoop(subject, iter(loader), True, ahead)


def theirs(subject: LoopSubject) -> Callable[[], tuple[list[float], float]]:
    """As a first script has it: DataLoader, network, cross-entropy, SGD."""
    batches, ahead = data_calls.pytorchvideo_batches(
        _reading(subject, "pytorchvideo pyav"), subject.batch, subject.workers
    )
    network = network_of(subject).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=RATE, momentum=0.9, weight_decay=4e-5)
    loss = torch.nn.CrossEntropyLoss()

    def run() -> tuple[list[float], float]:
        for _ in range(ahead):
            next(batches)
        seconds, waited = [], 0.0
        for _ in range(ROUND_STEPS):
            started = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - started
            with precision_of(subject):
                value = loss(network(batch["video"].to(subject.device) / 255), batch["label"].to(subject.device))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            value.item()  # printed by everybody
            seconds.append(time.perf_counter() - started)
        return seconds, waited

    return run


def _reading(subject: LoopSubject, how: str) -> DataSubject:
    return DataSubject(subject.name, how, "originals", subject.videos, subject.frames, subject.size)


WAYS = {BARE: BareStep, LOOP: in_memory, AVERAGED: in_memory, OURS: on_files, THEIRS: theirs}
