"""The order of the training stream, and each process's share of it.

The stream is endless and global: position ``p`` is element ``p % n`` of epoch ``p // n``'s order, and step ``s`` takes
positions ``s * videos`` to ``(s + 1) * videos``. So no clip is dropped at an epoch's end, any number of processes
shares one order, and a run continues at any step by starting there.

An order consists of *picks*: pick ``i + k * n`` is record ``i`` of ``n`` for the (k + 1)-th time in its epoch.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from video_rs.data.dataset import sample_generator
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

# The pick that no sample has: keeps an order's stream apart from theirs.
ORDER = -1


@dataclass(frozen=True)
class Partition:
    """This process's part of the work."""

    rank: int = 0
    world_size: int = 1


class ClipOrder:
    """Micro-batches of (epoch, pick) for one process.

    Args:
        epoch_order: epoch -> its picks, ``num_samples`` of them; :func:`permutation` or :func:`balanced`.
        num_samples: records.
        batch_size: clips per optimizer step, over all processes and accumulation.
        accumulation: micro-batches per step.
        partition: of this process.
        first_step, last_step: half-open range of steps.
        clips_per_video: clips that one pick gives, all of them in one micro-batch.

    Attributes:
        videos: picks of a micro-batch.

    Raises:
        InputError: the batch does not divide.
    """

    def __init__(
        self,
        epoch_order: Callable[[int], Sequence[int]],
        num_samples: int,
        batch_size: int,
        accumulation: int,
        partition: Partition,
        first_step: int,
        last_step: int,
        clips_per_video: int = 1,
    ):
        multiple = partition.world_size * accumulation * clips_per_video
        if batch_size % multiple:
            clips = f" x {clips_per_video} clips of a video" if clips_per_video > 1 else ""
            processes = pluralize(partition.world_size, "process", "processes")
            raise InputError(
                f"TRAIN.BATCH_SIZE {batch_size} does not divide into {processes} x "
                f"{pluralize(accumulation, 'accumulation step')}{clips}; take a multiple of {multiple}"
            )
        self.epoch_order, self.num_samples = epoch_order, num_samples
        self.videos = batch_size // multiple
        self.accumulation, self.partition = accumulation, partition
        self.steps = range(first_step, last_step)

    def __len__(self) -> int:
        return len(self.steps) * self.accumulation

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        parts = self.partition.world_size * self.accumulation
        epoch, order = -1, []
        for step in self.steps:
            for micro in range(self.accumulation):
                first = (step * parts + micro * self.partition.world_size + self.partition.rank) * self.videos
                keys = []
                for position in range(first, first + self.videos):
                    if position // self.num_samples != epoch:
                        epoch = position // self.num_samples
                        order = self.epoch_order(epoch)
                    keys.append((epoch, order[position % self.num_samples]))
                yield keys


def permutation(epoch: int, *, seed: int, num_samples: int) -> list[int]:
    """Each record once, in random order."""
    return torch.randperm(num_samples, generator=sample_generator(seed, epoch, ORDER)).tolist()


def balanced(epoch: int, *, seed: int, labels: np.ndarray, balance: float) -> list[int]:
    """As many picks as records, with rare classes more often and frequent ones less.

    A class of ``m`` records gets a share in proportion to ``m ** (1 - balance)``: 0 is as listed, 1 every class equally
    often, 0.5 the square root (Mahajan et al. 2018). No record comes again before all others of its class have come.

    Args:
        epoch: picks are a function of it and the seed.
        seed: of the draws.
        labels: int64 ``[n]``, the class of each record.
        balance: in [0, 1].
    """
    generator = sample_generator(seed, epoch, ORDER)
    classes, sizes = np.unique(labels, return_counts=True)
    picks = []
    for label, count in zip(classes, _divided(len(labels), sizes ** (1.0 - balance)), strict=True):
        members = torch.from_numpy(np.flatnonzero(labels == label))
        rounds = -(-int(count) // len(members))
        again = [members[torch.randperm(len(members), generator=generator)] + k * len(labels) for k in range(rounds)]
        picks.append(torch.cat(again)[: int(count)])
    together = torch.cat(picks)
    return together[torch.randperm(len(together), generator=generator)].tolist()


def _divided(total: int, weights: np.ndarray) -> np.ndarray:
    """``total`` in whole numbers proportional to ``weights``; the largest remainders are rounded up."""
    shares = total * weights / weights.sum()
    whole = np.floor(shares + 1e-9).astype(np.int64)  # a share that is whole but for its rounding
    whole[np.argsort(whole - shares, kind="stable")[: total - whole.sum()]] += 1
    return whole
