"""Batches: which sample goes where, and who reads them.

Samples are read by worker processes (:mod:`video_rs.runtime.workers`). A task carries its record, so that no worker
holds the list; a video on which its worker hangs or dies is one that could not be read, with that reason.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
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


@dataclass(frozen=True)
class Workers:
    """Who reads.

    Attributes:
        processes: 0 reads in this process, one sample after the other, without a time limit.
        time_limit: seconds for one video; the process of one that takes longer is stopped and replaced.
    """

    processes: int = 0
    time_limit: float = 60.0

    def map(self, read: Callable[..., Any], tasks: Iterable[tuple], ahead: int) -> Iterator[Any]:
        """``read(*task)`` of each task, in order; :class:`Lost` where its process was lost."""
        if self.processes == 0:
            return starmap(read, tasks)
        return in_workers(
            read,
            tasks,
            processes=self.processes,
            time_limit=self.time_limit,
            ahead=max(ahead, 2 * self.processes),
            start_method=SPAWN if read.source.needs_gpu else FORK,
        )


@dataclass(frozen=True)
class ClipBatch:
    """A micro-batch of the valid slots.

    Attributes:
        clips: uint8 ``[b, 3, T, h, w]``, b <= size; with b = 0 the sizes are those of one empty clip.
        labels: int64 ``[b]``, or for several labels a clip uint8 ``[b, K]``, 1 for each that it has.
        size: slots, the failed ones included.
        failures: (video, reason) of each failed slot.
        videos: path of each valid clip.
        counted_videos: those that were decoded as a whole to count their frames.
    """

    clips: Tensor
    labels: Tensor
    size: int
    failures: list[tuple[str, str]]
    videos: list[str]
    counted_videos: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ClipLoader:
    """Micro-batches in their order.

    Attributes:
        records: with one label each, or several.
        read: makes the samples of one record.
        order: what is read when.
        workers: who reads.
        pin: give the clips in memory from which a GPU copies while it works.
        multi_label: the number of classes, K, where a clip may have several; 0: each has one.
    """

    records: Sequence[VideoRecord]
    read: ClipReader
    order: ClipOrder
    workers: Workers
    pin: bool = False
    multi_label: int = 0

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[ClipBatch]:
        tasks = ((self._record(pick), epoch, pick) for keys in self.order for epoch, pick in keys)
        results = self.workers.map(self.read, tasks, ahead=2 * self.order.videos)
        for keys in self.order:
            samples = [sample for _, pick in keys for sample in self._samples(pick, next(results))]
            yield self._batch(samples)

    def _record(self, pick: int) -> VideoRecord:
        return self.records[pick % len(self.records)]

    def _samples(self, pick: int, result: list[ClipSample] | Lost) -> list[ClipSample]:
        record = self._record(pick)
        return self.read.failed(record, _why(record, result)) if isinstance(result, Lost) else result

    def _batch(self, samples: list[ClipSample]) -> ClipBatch:
        """The valid samples together; without one, no clip of the right size."""
        valid = [sample for sample in samples if sample.error is None]
        crop = self.read.transform.crop_size
        clips = torch.empty(
            len(valid), 3, self.read.clip.num_frames, crop, crop, dtype=torch.uint8, pin_memory=self.pin
        )
        if valid:
            torch.stack([sample.clip for sample in valid], out=clips)
        labels = self._labels([sample.labels for sample in valid])
        failures = [(sample.video, sample.error) for sample in samples if sample.error is not None]
        videos = [sample.video for sample in valid]
        counted = [sample.video for sample in valid if sample.counted]
        return ClipBatch(clips, labels, len(samples), failures, videos, counted)

    def _labels(self, labels: list[tuple[int, ...]]) -> Tensor:
        if not self.multi_label:
            return torch.tensor([label for (label,) in labels], dtype=torch.int64, pin_memory=self.pin)
        several = torch.zeros(len(labels), self.multi_label, dtype=torch.uint8, pin_memory=self.pin)
        for row, own in zip(several, labels, strict=True):
            row[list(own)] = 1
        return several


def _why(record: VideoRecord, lost: Lost) -> str:
    """The reason, and what else took the time of a URL."""
    if not (lost.hung and is_url(record.path)):
        return lost.reason
    goes_on = ", which goes on where it stopped" if can_resume(record.path) else ""
    return f"{lost.reason}, fetching included{goes_on}"


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
        return len(self._indices())

    def __iter__(self) -> Iterator[VideoViews]:
        tasks = ((self.records[index], index) for index in self._indices())
        # A result may be a hundred megabytes: no more of them than the workers need to go on.
        results = self.workers.map(self.read, tasks, ahead=0)
        for index, result in zip(self._indices(), results, strict=True):
            record = self.records[index]
            yield self.read.failed(record, index, _why(record, result)) if isinstance(result, Lost) else result

    def _indices(self) -> range:
        return range(self.partition.rank, len(self.records), self.partition.world_size)
