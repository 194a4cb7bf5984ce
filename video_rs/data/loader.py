"""Batches: which sample goes where, and the processes that read them.

The training stream is endless and global: position ``p`` is sample ``p % n`` of epoch ``p // n``'s permutation, and
step ``s`` takes positions ``s * batch`` to ``(s + 1) * batch``. So no clip is dropped at an epoch's end, any number of
processes shares one order, and a run continues at any step by starting there.
"""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from video_rs.data.dataset import ClipDataset, ClipSample, VideoViews, ViewDataset, sample_generator
from video_rs.errors import InputError

# The index that no sample has: keeps a permutation's stream apart from theirs.
PERMUTATION = -1


@dataclass(frozen=True)
class Share:
    """This process's part of the work."""

    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True)
class ClipBatch:
    """A micro-batch of the valid slots.

    Attributes:
        clips: uint8 ``[b, 3, T, h, w]``, b <= size; with b = 0 the sizes are those of one empty clip.
        labels: int64 ``[b]``.
        size: slots, the failed ones included.
        failures: (video, reason) of each failed slot.
    """

    clips: Tensor
    labels: Tensor
    size: int
    failures: list[tuple[str, str]]

    def pin_memory(self) -> "ClipBatch":
        """Called by the loader so that the copy to a GPU can overlap with its work."""
        return ClipBatch(self.clips.pin_memory(), self.labels.pin_memory(), self.size, self.failures)


class ClipOrder(Sampler):
    """Micro-batches of (epoch, index) for one process.

    Args:
        num_samples: records.
        batch_size: per optimizer step, over all processes and accumulation.
        accumulation: micro-batches per step.
        share: this process.
        seed: of the permutations.
        first_step, last_step: half-open range of steps.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        accumulation: int,
        share: Share,
        seed: int,
        first_step: int,
        last_step: int,
    ):
        parts = share.world_size * accumulation
        if batch_size % parts:
            raise InputError(
                f"TRAIN.BATCH_SIZE {batch_size} does not divide into {share.world_size} processes x {accumulation} "
                f"accumulation steps; take a multiple of {parts}"
            )
        self.num_samples, self.batch_size, self.parts = num_samples, batch_size, parts
        self.accumulation, self.share, self.seed = accumulation, share, seed
        self.steps = range(first_step, last_step)

    def __len__(self) -> int:
        return len(self.steps) * self.accumulation

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        size = self.batch_size // self.parts
        epoch, order = -1, []
        for step in self.steps:
            for part in range(self.accumulation):
                first = step * self.batch_size + (part * self.share.world_size + self.share.rank) * size
                keys = []
                for position in range(first, first + size):
                    if position // self.num_samples != epoch:
                        epoch = position // self.num_samples
                        order = permutation(self.seed, epoch, self.num_samples)
                    keys.append((epoch, order[position % self.num_samples]))
                yield keys


def permutation(seed: int, epoch: int, num_samples: int) -> list[int]:
    """The order of the samples in ``epoch``."""
    return torch.randperm(num_samples, generator=sample_generator(seed, epoch, PERMUTATION)).tolist()


class Stack:
    """Collates samples into a :class:`ClipBatch`; ``shape`` is that of one clip, for a batch without a valid slot."""

    def __init__(self, shape: tuple[int, int, int, int]):
        self.shape = shape

    def __call__(self, samples: Sequence[ClipSample]) -> ClipBatch:
        valid = [sample for sample in samples if sample.error is None]
        clips = torch.stack([s.clip for s in valid]) if valid else torch.empty(0, *self.shape, dtype=torch.uint8)
        labels = torch.tensor([s.label for s in valid], dtype=torch.int64)
        failures = [(s.video, s.error) for s in samples if s.error is not None]
        return ClipBatch(clips, labels, len(samples), failures)


def train_loader(dataset: ClipDataset, order: ClipOrder, workers: int, pin: bool) -> DataLoader:
    """Micro-batches in ``order``, read by ``workers`` processes (0: in this one)."""
    crop = dataset.transform.crop_size
    return DataLoader(
        dataset,
        batch_sampler=order,
        num_workers=workers,
        collate_fn=Stack((3, dataset.clip.num_frames, crop, crop)),
        pin_memory=pin,
        worker_init_fn=_leave_stopping_to_the_parent,
        prefetch_factor=2 if workers else None,
        generator=torch.Generator(),
    )


def view_loader(dataset: ViewDataset, share: Share, workers: int) -> DataLoader:
    """Videos one at a time in the list's order; process r of n takes every n-th from r on: none twice, none dropped."""
    return DataLoader(
        dataset,
        batch_size=None,
        sampler=range(share.rank, len(dataset), share.world_size),
        num_workers=workers,
        collate_fn=_untouched,
        worker_init_fn=_leave_stopping_to_the_parent,
        prefetch_factor=2 if workers else None,
        generator=torch.Generator(),
    )


def _leave_stopping_to_the_parent(_worker: int) -> None:
    """Ignores SIGTERM and Ctrl-C in a reading process: schedulers signal the whole group, and the training process,
    which saves its state first, must not lose its readers under it. They end with it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _untouched(item: VideoViews) -> VideoViews:
    """Without this, the loader would rebuild the item from its fields."""
    return item
