"""The contract between a training step and what it trains for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

# Float clips [B, 3, T, H, W] on the device -> logits [B, K], or whatever else the objective compares.
Network = Callable[[Tensor], Tensor]


class Ratio(NamedTuple):
    """A mean to log, as the two sums that it is made of: they are added over batches and processes, and divided once.

    Attributes:
        total: the sum of the values, such as the number of clips whose class was on top.
        count: how many values there were.
    """

    total: float | Tensor
    count: float | Tensor


@dataclass(frozen=True)
class Losses:
    """What an objective computes of one micro-batch.

    Attributes:
        per_clip: float32 ``[B]``, the loss of each clip. The step divides by the number of clips of all processes.
        ratios: the means to log, by the names in :attr:`Objective.logged`.
    """

    per_clip: Tensor
    ratios: Mapping[str, Ratio]


class Objective(Protocol):
    """Computes the losses of a micro-batch.

    Attributes:
        logged: names of the ratios that every call returns, in one order on all processes.
    """

    logged: tuple[str, ...]

    def prepare(self, clips: Tensor) -> Tensor:
        """Return float clips on the device, as the network takes them, from uint8 ``[B, 3, T, H, W]`` on the CPU."""
        ...

    def __call__(self, network: Network, batch: Any, generator: torch.Generator) -> Losses:
        """Return the losses of a micro-batch.

        Args:
            network: computes in the precision of the run; its gradients are exchanged between processes.
            batch: a dataclass with uint8 ``clips`` ``[B, 3, T, H, W]`` and ``labels``, at least one clip; each of its
                tensors has a row for each clip. One with ``size`` 0 stands in for a batch without clips, so that its
                process takes part in all exchanges: nothing that it gives counts.
            generator: on the CPU, a function of seed, step, process and micro-batch; every random draw comes from it.
        """
        ...
