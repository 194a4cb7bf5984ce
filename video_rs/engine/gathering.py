"""Rows of all processes, with their gradients."""

import torch
from torch import Tensor

from video_rs.runtime import distributed


class _Stacked(torch.autograd.Function):
    """Each process's ``values``, of one shape: ``[world_size, ...]``. All processes call both passes together."""

    @staticmethod
    def forward(ctx, values):
        return distributed.stack_over_ranks(values.contiguous())

    @staticmethod
    def backward(ctx, gradient):
        # What this process has given is part of what every process computes.
        everyones = distributed.sum_over_ranks(gradient.clone(memory_format=torch.contiguous_format))
        return everyones[distributed.rank()]


def rows_of_all_processes(rows: Tensor, count: int) -> tuple[Tensor, int]:
    """Return the rows of all processes, in rank order, and where the own ones begin.

    The gradient of a row is the sum of those that it gets in all processes. All of them call this together, and its
    backward pass.

    Args:
        rows: float ``[n, d]``, n at least 1 and d the same in all processes.
        count: how many of them count, the first ones; others are left out.

    Returns:
        float ``[N, d]`` and the place in it of the first row of this process.
    """
    # A single GPU need not be asked.
    if distributed.world_size() == 1:
        return rows[:count], 0

    counts = distributed.stack_over_ranks(torch.tensor([count], device=rows.device)).flatten().tolist()
    first = sum(counts[: distributed.rank()])
    most = max(counts)
    if most == 0:
        return rows[:count], first

    # What is exchanged has one shape in all processes.
    padding = rows.new_zeros(most - count, rows.shape[1])
    stacked = _Stacked.apply(torch.cat([rows[:count], padding]))
    parts = [part[:number] for part, number in zip(stacked, counts, strict=True)]
    return torch.cat(parts), first
