"""Batches: which sample goes where, and who reads them.

Samples are read by worker processes (:mod:`video_rs.runtime.workers`). A task carries its record; a video on which its
worker hangs or dies is one that could not be read, with that reason.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import starmap
from typing import Any

import torch
from torch import Tensor

from video_rs.data.dataset import ClipReader, ClipSample, VideoViews, ViewReader
from video_rs.data.order import ClipOrder, Partition
from video_rs.lists.records import VideoRecord
from video_rs.runtime.workers import FORK, SPAWN, Lost, in_workers
from video_rs.video.fetching import can_resume, is_url

# Stands for the class of a clip whose video has no label.
NO_LABEL = -1


@dataclass(frozen=True)
class Workers:
    """Who reads.

    Attributes:
        processes: 0 reads in this process, one sample after the other, without a time limit.
        time_limit: seconds for one video; the process of one that takes longer is stopped and replaced.
    """

    processes: int = 0
    time_limit: float = 60.0

    def map(self, read: ClipReader | ViewReader, tasks: Iterable[tuple], ahead: int) -> Iterator[Any]:
        """Yield ``read(*task)`` of each task, in order; :class:`Lost` where its process was lost.

        Args:
            read: makes samples.
            tasks: arguments of ``read``.
            ahead: how many samples are read at least before they are asked for.
        """
        if self.processes == 0:
            return starmap(read, tasks)

        # Forked workers are there at once, but CUDA does not work in a process that was forked from one that uses it.
        start_method = FORK
        if read.source.needs_gpu:
            start_method = SPAWN
        return in_workers(
            read,
            tasks,
            processes=self.processes,
            time_limit=self.time_limit,
            ahead=max(ahead, 2 * self.processes),
            start_method=start_method,
        )


@dataclass(frozen=True)
class ClipBatch:
    """A micro-batch of the valid slots.

    Attributes:
        clips: uint8 ``[b, 3, T, h, w]``, b <= size; with b = 0 the sizes are those of one empty clip.
        labels: int64 ``[b]``, -1 for a clip without a label; or for several labels a clip uint8 ``[b, K]``, 1 for each
            that it has.
        size: slots, the failed ones included.
        failures: (video, reason) of each failed slot.
        videos: path of each valid clip.
        counted_videos: those that were decoded as a whole to count their frames.
        records: int64 ``[b]``, which record of the loader each clip is of.
        second_clips: uint8 ``[b, 3, t, s, s]``, the same parts of the videos in another form; None without such a form.
    """

    clips: Tensor
    labels: Tensor
    size: int
    failures: list[tuple[str, str]]
    videos: list[str]
    counted_videos: list[str] = field(default_factory=list)
    records: Tensor | None = None
    second_clips: Tensor | None = None


@dataclass(frozen=True)
class ClipLoader:
    """Micro-batches in their order.

    Attributes:
        records: with one label each, or several.
        read: makes the samples of one record.
        order: what is read when.
        workers: who reads.
        pin: give the clips in memory from which a GPU copies while it works.
        multi_label: the number of classes, K, where a clip may have several; 0: each has one, or none, which is -1.
        second_shape: (3, t, s, s) of the second form of a clip that ``read`` gives beside the first; None: it gives one
            alone.
    """

    records: Sequence[VideoRecord]
    read: ClipReader
    order: ClipOrder
    workers: Workers
    pin: bool = False
    multi_label: int = 0
    second_shape: tuple[int, int, int, int] | None = None

    def __len__(self) -> int:
        """Return the number of micro-batches."""
        return len(self.order)

    def __iter__(self) -> Iterator[ClipBatch]:
        # While the network trains on one micro-batch, the next is read, and the one after it begun.
        results = self.workers.map(self.read, self._tasks(), ahead=2 * self.order.picks_per_micro_batch)
        for keys in self.order:
            samples = []
            places = []
            for _, pick in keys:
                place = pick % len(self.records)
                found = self._samples(self.records[place], next(results))
                samples += found
                places += [place] * len(found)
            yield self._batch(samples, places)

    def _tasks(self) -> Iterator[tuple[VideoRecord, int, int]]:
        """Yield the arguments of ``read`` for each pick, in order."""
        for keys in self.order:
            for epoch, pick in keys:
                yield self.records[pick % len(self.records)], epoch, pick

    def _samples(self, record: VideoRecord, result: list[ClipSample] | Lost) -> list[ClipSample]:
        if isinstance(result, Lost):
            return self.read.failed(record, _reason(record, result))
        return result

    def _batch(self, samples: list[ClipSample], places: list[int]) -> ClipBatch:
        """Put the valid samples together; ``places`` are the records that they are of."""
        valid = [sample for sample in samples if sample.error is None]
        crop = self.read.transform.crop_size
        shape = (3, self.read.clip.num_frames, crop, crop)
        second_clips = None
        if self.second_shape is not None:
            second_clips = self._stack([sample.second_clip for sample in valid], self.second_shape)

        return ClipBatch(
            self._stack([sample.clip for sample in valid], shape),
            self._labels([sample.labels for sample in valid]),
            size=len(samples),
            failures=[(sample.video, sample.error) for sample in samples if sample.error is not None],
            videos=[sample.video for sample in valid],
            counted_videos=[sample.video for sample in valid if sample.counted],
            records=torch.tensor(
                [place for sample, place in zip(samples, places, strict=True) if sample.error is None],
                dtype=torch.int64,
            ),
            second_clips=second_clips,
        )

    def _stack(self, clips: list[Tensor], shape: tuple[int, ...]) -> Tensor:
        """Return uint8 ``[b, *shape]``; without a clip, the sizes are the right ones and there is none of them."""
        stacked = torch.empty((len(clips), *shape), dtype=torch.uint8, pin_memory=self.pin)
        # Straight into the memory that the GPU copies from.
        if clips:
            torch.stack(clips, out=stacked)
        return stacked

    def _labels(self, labels: list[tuple[int, ...]]) -> Tensor:
        """Return the labels of the clips as :class:`ClipBatch` has them."""
        if not self.multi_label:
            single = [classes[0] if classes else NO_LABEL for classes in labels]
            return torch.tensor(single, dtype=torch.int64, pin_memory=self.pin)

        targets = torch.zeros(len(labels), self.multi_label, dtype=torch.uint8, pin_memory=self.pin)
        for target, classes in zip(targets, labels, strict=True):
            target[list(classes)] = 1
        return targets


@dataclass(frozen=True)
class ViewLoader:
    """Videos one at a time in the list's order; process r of n takes every n-th from r on: none twice, none dropped.

    Attributes:
        records: labels may be missing.
        read: makes the views of one record.
        partition: of this process.
        workers: who reads.
    """

    records: Sequence[VideoRecord]
    read: ViewReader
    partition: Partition
    workers: Workers

    def __len__(self) -> int:
        """Return the number of this process's videos."""
        return len(self._indices())

    def __iter__(self) -> Iterator[VideoViews]:
        tasks = ((self.records[index], index) for index in self._indices())
        # A result may be a hundred megabytes: no more of them than the workers need to go on.
        results = self.workers.map(self.read, tasks, ahead=0)
        for index, result in zip(self._indices(), results, strict=True):
            if isinstance(result, Lost):
                record = self.records[index]
                yield self.read.failed(record, index, _reason(record, result))
            else:
                yield result

    def _indices(self) -> range:
        return range(self.partition.rank, len(self.records), self.partition.world_size)


def _reason(record: VideoRecord, lost: Lost) -> str:
    """Return why a video was lost; where it is a URL, its time limit was also that of its download."""
    if not lost.hung or not is_url(record.path):
        return lost.reason

    reason = f"{lost.reason}, fetching included"
    if can_resume(record.path):
        reason += ", which goes on where it stopped"
    return reason
