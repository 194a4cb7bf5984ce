"""Passes and steps on trial, which train nothing: for what they take of memory, and in which precision of time."""

import copy
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from video_rs.engine.batch_norm import without_exchange
from video_rs.engine.step import Step

# Rounds after the one that warms up: so many at least, and further ones within so many seconds.
FEWEST_ROUNDS = 3
MOST_ROUNDS = 7
SECONDS = 5.0
# How many times as fast bfloat16 has to be.
WORTH = 1.1


class StepSeconds(NamedTuple):
    """The median seconds of a step in each of two precisions."""

    float32: float
    bfloat16: float

    @property
    def is_bfloat16_faster(self) -> bool:
        """Whether bfloat16 is faster by enough to give up the digits."""
        return self.float32 >= WORTH * self.bfloat16


def forward_and_backward(
    model: nn.Module,
    prepare: Callable[[Tensor], Tensor],
    clips: Tensor,
    autocast: torch.autocast,
    beside: Callable[[int], None] | None = None,
) -> None:
    """Run a forward and a backward pass, which leave gradients and move the statistics of batch norm.

    Nothing is exchanged with other processes.

    Args:
        model: in training mode.
        prepare: uint8 clips on the CPU -> float clips on the device.
        clips: uint8 ``[b, 3, T, H, W]`` of any content.
        autocast: what the forward pass runs under.
        beside: what a step computes before its own network, such as a teacher's answers, for a number of clips.
    """
    # Around the backward pass too, which computes checkpointed parts of the network again.
    with without_exchange(model):
        with autocast:
            if beside is not None:
                beside(len(clips))
            logits = model(prepare(clips))
        logits.float().sum().backward()


def time_precisions(
    step: Step,
    clips: Tensor,
    beside: Callable[[int], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> StepSeconds:
    """Return what a step takes in float32 and in bfloat16, in turns, and leave everything as it was.

    A step is a forward pass, a backward pass and the optimizer's update, all on a copy of the network.

    Args:
        step: not taken yet, on a CPU.
        clips: uint8 ``[b, 3, T, H, W]`` of any content, those of a micro-batch.
        beside: as for :func:`forward_and_backward`.
        clock: -> seconds.
    """
    # Together, so that the optimizer's copy holds the weights of the network's copy.
    model, optimizer = copy.deepcopy((step.model, step.optimizer))
    model.train()

    def seconds_in(precision: torch.dtype) -> float:
        autocast = torch.autocast("cpu", precision, enabled=precision != torch.float32)
        started = clock()
        forward_and_backward(model, step.objective.prepare, clips, autocast, beside)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return clock() - started

    rounds = []
    started = clock()
    # Dropout and stochastic depth draw from the global generator.
    with torch.random.fork_rng(devices=[]):
        while len(rounds) <= MOST_ROUNDS:
            rounds.append((seconds_in(torch.float32), seconds_in(torch.bfloat16)))
            if len(rounds) > FEWEST_ROUNDS and clock() - started > SECONDS:
                break

    float32, bfloat16 = zip(*rounds[1:], strict=True)
    return StepSeconds(statistics.median(float32), statistics.median(bfloat16))
