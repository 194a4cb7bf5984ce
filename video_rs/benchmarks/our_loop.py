"""Our training loop as a run builds it, with the engine's step; of the loops only this one needs the engine's parts."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.optim import Optimizer

from video_rs.benchmarks.loader import training_loader
from video_rs.benchmarks.loop_benchmark import AVERAGED
from video_rs.benchmarks.loop_steps import LEARNING_RATE, StepClock, Steps, memory_batches
from video_rs.benchmarks.network_calls import PRECISIONS, network_on_device
from video_rs.benchmarks.networks import CLASSES
from video_rs.benchmarks.subject import Subject
from video_rs.data.loader import ClipBatch
from video_rs.data.normalisation import to_float
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

# More steps than anybody takes.
ENDLESS = 10**9


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
        """Take one round, with a checkpoint written beside its first steps where one is asked for."""
        for _ in range(self.ahead):
            next(self.batches)

        clock = StepClock(self.batches)
        if checkpoint:
            self.writer.write(self.step.state_dict())

        # The end of a round stops the loop; what a run does beside its steps is not measured.
        hooks = Hooks(*[lambda *_: None] * 5, should_stop=clock.ends_step)
        with contextlib.suppress(Stopped):
            fit(self.step, clock.waited_for(), self.plan, hooks, FailureLimit(1.0, ENDLESS), NonFiniteLimit())

        # What writing still takes after the last step is part of its cost.
        if checkpoint:
            self.writer.wait()
            clock.add_to_last_step()
        return Steps(clock.seconds, clock.waited)


def our_step(subject: Subject, averaged: bool) -> Step:
    """Return the training step of a run."""
    network = network_on_device(subject)
    device = torch.device(subject.device)

    def prepare(clips: torch.Tensor) -> torch.Tensor:
        return to_float(clips.to(device), memory_format=torch.channels_last_3d)

    average = None
    if averaged:
        average = Ema(network, 0.9999)
    return Step(
        network,
        published_optimizer(network),
        Classification(SoftmaxLoss(CLASSES, 0.1), prepare),
        Schedule(LEARNING_RATE, ENDLESS),
        average=average,
        precision=PRECISIONS[subject.precision],
    )


def published_optimizer(network: nn.Module) -> Optimizer:
    """Return SGD as published, at a constant rate; norms and biases have no weight decay."""
    groups = parameter_groups(network, network.weight_decay_names(), 4e-5)
    optimizer = sgd(groups, momentum=0.9, nesterov=True)
    set_learning_rate(optimizer, LEARNING_RATE)
    return optimizer


def loop_in_memory(subject: Subject) -> OurLoop:
    """Return our loop without files."""
    return OurLoop(subject, memory_batches(subject), averaged=subject.way == AVERAGED)


def loop_on_files(subject: Subject) -> OurLoop:
    """Return our loop on our loader, as training builds it."""
    loader = training_loader(subject, subject.batch, subject.workers)
    # The loader reads two batches ahead, or two clips for each worker where they are more.
    ahead = max(2 * subject.batch, 2 * subject.workers) // subject.batch
    return OurLoop(subject, iter(loader), averaged=True, ahead=ahead)
