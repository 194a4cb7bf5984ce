"""A process on Ray that labels: it loads the teacher once, and reads, judges and writes whole shards by itself."""

import dataclasses
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from video_rs.inference.pseudo_labels.deaths import Watch
from video_rs.inference.pseudo_labels.labelling import Labeller, LabelRow
from video_rs.inference.pseudo_labels.shards import LabelShards
from video_rs.lists.records import VideoRecord
from video_rs.runs.labelling_work import Labelling, load_labeller, read_videos, rows_of_shard
from video_rs.runs.shard_work import write_shards
from video_rs.runtime.errors import InputError


@dataclass(frozen=True)
class ActorWork:
    """What every actor has to know.

    Attributes:
        asked: as the command has it.
        teacher_sha256: of the teacher's files where the command was given.
        shards: where the answers go; all machines see the folder.
        folder: in which the command was given: paths are relative to it.
        processes: that read videos, for one actor.
    """

    asked: Labelling
    teacher_sha256: str
    shards: LabelShards
    folder: str
    processes: int


class FinishedShard(NamedTuple):
    """What an actor says of a shard that it has written.

    Attributes:
        number: of the shard.
        counted_videos: those that were decoded as a whole to count their frames.
    """

    number: int
    counted_videos: list[str]


def deaths_file(shards: LabelShards, number: int) -> Path:
    """Return the file beside a shard that :mod:`video_rs.inference.pseudo_labels.deaths` keeps."""
    path = shards.file(number)
    return path.with_name(f".{path.stem}.deaths.tmp")


class LabellingActor:
    """Labels shards with one teacher, which is loaded when the first ones come."""

    def __init__(self, work: ActorWork):
        self._work = work
        self._labeller: Labeller | None = None

    def label(self, lot: Mapping[int, list[VideoRecord]]) -> Iterator[FinishedShard]:
        """Write shards, and yield each as soon as it is finished: its number and what is to be told of it.

        Args:
            lot: number of a shard -> its records.

        Raises:
            InputError: this machine does not see the files, or sees others.
        """
        if self._labeller is None:
            self._labeller = self._load()

        shards = self._work.shards
        records = {}
        for number, of_shard in lot.items():
            records |= zip(shards.videos_of(number), of_shard, strict=True)
        counted: list[str] = []
        loader = read_videos(self._work.asked, self._labeller, list(records.values()), self._work.processes)
        videos = _noting_counted(loader, counted)
        for number in write_shards(shards, lot, videos, partial(self._rows, records)):
            deaths_file(shards, number).unlink(missing_ok=True)
            yield FinishedShard(number, list(counted))
            counted.clear()

    def _rows(self, records: Mapping[int, VideoRecord], places: range, videos: Iterator[Any]) -> list[LabelRow]:
        """Return the rows of a shard; while the teacher looks at a video, a file says so."""
        labeller = self._labeller
        number = places.start // self._work.shards.size
        watch = Watch(deaths_file(self._work.shards, number), labeller.teacher.probabilities, labeller.batch)
        watched = dataclasses.replace(labeller.teacher, probabilities=watch.probabilities)
        try:
            return rows_of_shard(dataclasses.replace(labeller, teacher=watched), records, places, watch.videos(videos))
        finally:
            watch.close()

    def _load(self) -> Labeller:
        """Return the teacher; every path means here what it means where the command was given."""
        host = socket.gethostname()
        try:
            os.chdir(self._work.folder)
        except OSError as error:
            raise InputError(
                f"machine {host} of the cluster does not see {self._work.folder} ({error.strerror}); all machines need "
                "the same folders"
            ) from error

        labeller = load_labeller(self._work.asked, self._work.asked.device)
        if labeller.teacher.sha256 != self._work.teacher_sha256:
            raise InputError(
                f"{self._work.asked.teacher} on machine {host} of the cluster is another teacher; all machines need "
                "the same files"
            )
        if not self._work.shards.folder.is_dir():
            raise InputError(
                f"machine {host} of the cluster does not see {self._work.shards.folder}; all machines need the same "
                "folders"
            )
        return labeller


def _noting_counted(videos: Any, counted: list[str]) -> Iterator[Any]:
    """Pass videos on, and keep which of them were decoded to count their frames."""
    for video in videos:
        counted += video.counted_videos
        yield video
