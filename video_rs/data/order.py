"""The order of the training stream, and the part of it that each process reads.

The stream is endless and global: position ``p`` is element ``p % n`` of epoch ``p // n``'s order. A step takes ``P``
picks, over all processes and micro-batches: step ``s`` takes positions ``s * P`` to ``(s + 1) * P``. So no clip is
dropped at an epoch's end, any number of processes shares one order, and a run continues at any step by starting there.

An order consists of *picks*: pick ``i + k * n`` is record ``i`` of ``n`` for the (k + 1)-th time in its epoch.

:class:`JoinedOrder` makes one stream of two lists: each has endless epochs of its own, and which slots of a step are
whose is the same in every step.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from video_rs.data.dataset import sample_generator
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize

# Stands for a pick where the order of an epoch is drawn, so that it shares its random numbers with no sample.
ORDER = -1
# The same for a second list, whose order shall not be the first one's where both are of one length.
SECOND_ORDER = -2


@dataclass(frozen=True)
class Partition:
    """The part of the work that one of ``world_size`` processes does: that of process ``rank``, from 0."""

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
        picks_per_micro_batch: of this process.

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
            processes = pluralize(partition.world_size, "process", "processes")
            parts = f"{processes} x {pluralize(accumulation, 'accumulation step')}"
            if clips_per_video > 1:
                parts += f" x {clips_per_video} clips of a video"
            raise InputError(
                f"TRAIN.BATCH_SIZE {batch_size} does not divide into {parts}; take a multiple of {multiple}"
            )

        self.epoch_order = epoch_order
        self.num_samples = num_samples
        self.picks_per_micro_batch = batch_size // multiple
        self.accumulation = accumulation
        self.partition = partition
        self.steps = range(first_step, last_step)

    def __len__(self) -> int:
        """Return the number of micro-batches."""
        return len(self.steps) * self.accumulation

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        key_at = self._keys()
        for first in self._first_positions():
            yield [key_at(position) for position in range(first, first + self.picks_per_micro_batch)]

    def _keys(self) -> Callable[[int], tuple[int, int]]:
        """Return what gives the (epoch, pick) of a position, for one walk through the order."""
        return EndlessEpochs(self.epoch_order, self.num_samples)

    def _first_positions(self) -> Iterator[int]:
        """Yield where in the stream each micro-batch of this process begins.

        A step consists of micro-batches, each of which consists of a part for every process.
        """
        world_size = self.partition.world_size
        for step in self.steps:
            for micro in range(self.accumulation):
                part = (step * self.accumulation + micro) * world_size + self.partition.rank
                yield part * self.picks_per_micro_batch


class EndlessEpochs:
    """The (epoch, pick) at each position of one list's stream. It keeps the order of the epoch that it was last in.

    Args:
        epoch_order: epoch -> its picks, ``num_samples`` of them.
        num_samples: picks of an epoch.
    """

    def __init__(self, epoch_order: Callable[[int], Sequence[int]], num_samples: int):
        self.epoch_order = epoch_order
        self.num_samples = num_samples
        self._epoch = -1
        self._order: Sequence[int] = []

    def __call__(self, position: int) -> tuple[int, int]:
        """Return the key at a position; positions come in ascending order, or each epoch's order is made again."""
        epoch, place = divmod(position, self.num_samples)
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = self.epoch_order(epoch)
        return epoch, self._order[place]


@dataclass(frozen=True)
class SecondList:
    """What a :class:`JoinedOrder` takes of a list beside the first.

    Attributes:
        epoch_order: epoch -> its picks, ``num_samples`` of them.
        num_samples: records.
        picks_per_step: how many picks of a step are of this list, over all processes and micro-batches.
    """

    epoch_order: Callable[[int], Sequence[int]]
    num_samples: int
    picks_per_step: int


class JoinedOrder(ClipOrder):
    """Micro-batches of (epoch, pick) of two lists, whose records stand one after the other.

    Each step has as many picks of the second list as every other, spread evenly over its slots, so that each part of a
    step has its share of them, to one pick. Both lists go on where the step before has left them: steps, picks and
    clips are the same for any number of processes and micro-batches.

    A pick counts the records of both lists: pick ``i + k * n`` is record ``i`` of ``n``, of which the second list has
    the last ones. The first time in an epoch, a record of the first list is read as it is without the second.

    Args:
        second: the list that is joined to the first.
        order: the arguments of :class:`ClipOrder`, which are about the first list.
    """

    def __init__(self, second: SecondList, **order):
        super().__init__(**order)
        self.second = second
        parts = self.accumulation * self.partition.world_size
        self.picks_per_step = self.picks_per_micro_batch * parts
        assert 0 < second.picks_per_step < self.picks_per_step

    def _keys(self) -> Callable[[int], tuple[int, int]]:
        first = EndlessEpochs(self.epoch_order, self.num_samples)
        second = EndlessEpochs(self.second.epoch_order, self.second.num_samples)

        def key_at(position: int) -> tuple[int, int]:
            step, slot = divmod(position, self.picks_per_step)
            of_second = self.second.picks_per_step
            before = slot * of_second // self.picks_per_step
            is_second = (slot + 1) * of_second // self.picks_per_step > before
            if is_second:
                epoch, pick = second(step * of_second + before)
                return epoch, self._joined(pick, self.second.num_samples, self.num_samples)

            of_first = self.picks_per_step - of_second
            epoch, pick = first(step * of_first + slot - before)
            return epoch, self._joined(pick, self.num_samples, 0)

        return key_at

    def _joined(self, pick: int, num_samples: int, first_record: int) -> int:
        """Return the pick among the records of both lists that is ``pick`` among those of one."""
        times, record = divmod(pick, num_samples)
        return first_record + record + times * (self.num_samples + self.second.num_samples)


def permutation(epoch: int, *, seed: int, num_samples: int, stream: int = ORDER) -> list[int]:
    """Return each record once, in random order; ``stream`` is :data:`SECOND_ORDER` for a second list."""
    return torch.randperm(num_samples, generator=sample_generator(seed, epoch, stream)).tolist()


def balanced(epoch: int, *, seed: int, labels: np.ndarray, balance: float) -> list[int]:
    """Return as many picks as records, with rare classes more often and frequent ones less.

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
    counts = _in_proportion(len(labels), sizes ** (1.0 - balance)).tolist()

    picks = []
    for label, count in zip(classes, counts, strict=True):
        members = torch.from_numpy(np.flatnonzero(labels == label))
        rounds = -(-count // len(members))  # rounded up
        # Each round takes every record of the class once, in an order of its own.
        again = []
        for number in range(rounds):
            shuffled = members[torch.randperm(len(members), generator=generator)]
            again.append(shuffled + number * len(labels))
        picks.append(torch.cat(again)[:count])

    # So far the classes come one after the other.
    together = torch.cat(picks)
    return together[torch.randperm(len(together), generator=generator)].tolist()


def _in_proportion(total: int, weights: np.ndarray) -> np.ndarray:
    """Divide ``total`` into whole numbers proportional to ``weights``; the largest remainders are rounded up."""
    shares = total * weights / weights.sum()
    whole = np.floor(shares + 1e-9).astype(np.int64)  # a share that is whole but for its rounding

    missing = total - whole.sum()
    largest_remainders = np.argsort(whole - shares, kind="stable")[:missing]
    whole[largest_remainders] += 1
    return whole
