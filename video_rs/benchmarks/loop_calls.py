"""Training loops as rounds of some steps each: seconds of every step, and what else belongs to a round."""

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional

from video_rs.benchmarks.data_calls import loader_of
from video_rs.benchmarks.data_peers import pytorchvideo_batches
from video_rs.benchmarks.loop_benchmark import AVERAGED, BARE, IN_MEMORY, ON_FILES, PEER_LOOP
from video_rs.benchmarks.network_calls import PRECISIONS, autocast, network_on_device, timed
from video_rs.benchmarks.networks import CLASSES
from video_rs.benchmarks.subject import Subject
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
# More steps than anybody takes.
ENDLESS = 10**9


class Steps(NamedTuple):
    """What a round took.

    Attributes:
        seconds: of each step.
        waited: seconds of them that were spent on waiting for data.
    """

    seconds: list[float]
    waited: float


class LoopRounds:
    """Rounds of one loop: ``seconds`` of each step, ``data_wait``, and for our loop with EMA ``checkpoint_s``.

    That is the seconds that a checkpoint at its start adds to a second round.
    """

    def __init__(self, subject: Subject):
        self.subject = subject
        self.loop: Callable[..., Steps] = LOOPS[subject.way](subject)

    def warm_up(self) -> None:
        """Take two rounds."""
        self.measure()
        self.measure()

    def measure(self) -> dict[str, list[float]]:
        """Take one round."""
        steps = self.loop()
        total = sum(steps.seconds)
        answer = {"seconds": steps.seconds, "data_wait": [steps.waited / total]}
        if self.subject.way == AVERAGED:
            with_checkpoint = self.loop(checkpoint=True)
            answer["checkpoint_s"] = [sum(with_checkpoint.seconds) - total]
        return answer

    def end(self) -> dict[str, float]:
        """Return nothing more."""
        return {}


def memory_batches(subject: Subject) -> Iterator[ClipBatch]:
    """Yield the same random batch again and again, uint8."""
    shape = (subject.batch, 3, subject.frames, subject.size, subject.size)
    clips = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return itertools.repeat(ClipBatch(clips, torch.arange(subject.batch) % CLASSES, subject.batch, [], []))


class BareStep:
    """Nothing but what every training step has."""

    def __init__(self, subject: Subject):
        self.subject = subject
        batch = next(memory_batches(subject))
        self.clips = to_float(batch.clips, memory_format=torch.channels_last_3d).to(subject.device)
        self.labels = batch.labels.to(subject.device)
        self.network = network_on_device(subject).train()
        groups = parameter_groups(self.network, self.network.weight_decay_names(), 4e-5)
        self.optimizer = sgd(groups, momentum=0.9, nesterov=True)
        set_learning_rate(self.optimizer, RATE)

    def __call__(self) -> Steps:
        return Steps([timed(self._step, self.subject.device) for _ in range(ROUND_STEPS)], waited=0.0)

    def _step(self) -> None:
        """Take one step: forward, backward, optimizer."""
        with autocast(self.subject):
            logits = self.network(self.clips)
        functional.cross_entropy(logits.float(), self.labels, label_smoothing=0.1).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class OurLoop:
    """:func:`fit` over a stream of batches that goes on from round to round.

    Args:
        subject: what is measured.
        batches: an endless stream.
        averaged: whether there is an average of the weights.
        ahead: batches that are read while others have their turn; they go first, unmeasured.
    """

    def __init__(self, subject: Subject, batches: Iterator[ClipBatch], averaged: bool, ahead: int = 0):
        self.batches = batches
        self.ahead = ahead
        # A run logs every ten steps; nothing else is ever due.
        self.plan = Plan(
            total_steps=ENDLESS,
            batch_size=subject.batch,
            num_samples=ENDLESS,
            log_steps=10,
            validation_epochs=ENDLESS,
            checkpoint_steps=ENDLESS,
        )
        self.step = our_step(subject, averaged)
        self.folder = tempfile.TemporaryDirectory()
        self.writer = CheckpointWriter(Path(self.folder.name) / "last.pth")

    def __call__(self, checkpoint: bool = False) -> Steps:
        for _ in range(self.ahead):
            next(self.batches)
        clock = StepClock(self.batches)
        if checkpoint:
            self.writer.write(self.step.state_dict())

        hooks = Hooks(*[lambda *_: None] * 5, should_stop=clock.ends_step)
        with contextlib.suppress(Stopped):
            fit(self.step, clock.waited_for(), self.plan, hooks, FailureLimit(1.0, ENDLESS), NonFiniteLimit())

        # What writing still takes after the last step is part of its cost.
        if checkpoint:
            self.writer.wait()
            clock.add_to_last_step()
        return Steps(clock.seconds, clock.waited)


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


def our_step(subject: Subject, averaged: bool) -> Step:
    """Return the training step of a run."""
    network = network_on_device(subject)
    device = torch.device(subject.device)

    def prepare(clips: torch.Tensor) -> torch.Tensor:
        return to_float(clips.to(device), memory_format=torch.channels_last_3d)

    return Step(
        network,
        sgd(parameter_groups(network, network.weight_decay_names(), 4e-5), momentum=0.9, nesterov=True),
        Classification(SoftmaxLoss(CLASSES, 0.1), prepare),
        Schedule(RATE, ENDLESS),
        average=Ema(network, 0.9999) if averaged else None,
        precision=PRECISIONS[subject.precision],
    )


def loop_in_memory(subject: Subject) -> OurLoop:
    """Return our loop without files."""
    return OurLoop(subject, memory_batches(subject), averaged=subject.way == AVERAGED)


def loop_on_files(subject: Subject) -> OurLoop:
    """Return our loop on our loader, as training builds it."""
    loader = loader_of(subject, subject.batch, subject.workers)
    ahead = max(2 * subject.batch, 2 * subject.workers) // subject.batch
    return OurLoop(subject, iter(loader), averaged=True, ahead=ahead)


class PeerLoop:
    """A first script: DataLoader, network, cross-entropy, SGD."""

    def __init__(self, subject: Subject):
        self.subject = subject
        self.batches, self.ahead = pytorchvideo_batches(subject, subject.batch, subject.workers)
        self.network = network_on_device(subject).train()
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=RATE, momentum=0.9, weight_decay=4e-5)
        self.loss = torch.nn.CrossEntropyLoss()

    def __call__(self) -> Steps:
        for _ in range(self.ahead):
            next(self.batches)

        seconds = []
        waited = 0.0
        for _ in range(ROUND_STEPS):
            started = time.perf_counter()
            batch = next(self.batches)
            waited += time.perf_counter() - started
            self._step(batch)
            seconds.append(time.perf_counter() - started)
        return Steps(seconds, waited)

    def _step(self, batch: dict) -> None:
        device = self.subject.device
        with autocast(self.subject):
            logits = self.network(batch["video"].to(device) / 255)
            value = self.loss(logits, batch["label"].to(device))
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        # Everybody prints the loss.
        value.item()


LOOPS = {
    BARE: BareStep,
    IN_MEMORY: loop_in_memory,
    AVERAGED: loop_in_memory,
    ON_FILES: loop_on_files,
    PEER_LOOP: PeerLoop,
}
