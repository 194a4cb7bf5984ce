"""Features of videos, and the votes of a memory of them."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from video_rs.builders import build_view_loader
from video_rs.config import Config
from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.evaluation import gather_results
from video_rs.engine.metrics import VideoResult
from video_rs.engine.neighbours import VideoFeatures, unit_mean, vote
from video_rs.inference.features import StageFeatures, features_of_views
from video_rs.lists.records import RecordList
from video_rs.models import VideoNetwork
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, videos_with_progress
from video_rs.runtime.wording import pluralize


@dataclasses.dataclass(frozen=True)
class VideoIds:
    """Which rows of the two lists are one video, or one segment of it: int64 ids, equal where they are."""

    memory: Tensor
    queries: Tensor

    def queries_in_memory(self) -> int:
        """Return how many videos to test are in the memory."""
        return int(torch.isin(self.queries, self.memory).sum())


def number_videos(memory: RecordList, records: RecordList) -> VideoIds:
    """Number the (path, start, end) of both lists."""
    numbers: dict[tuple, int] = {}
    ids = []
    for part in (memory, records):
        own = []
        for record in part.records:
            segment = (record.path, record.start or 0.0, record.end)
            own.append(numbers.setdefault(segment, len(numbers)))
        ids.append(torch.tensor(own))
    return VideoIds(*ids)


@dataclasses.dataclass(frozen=True)
class FeatureExtractor:
    """A network that is asked for its features.

    Attributes:
        config: of the run.
        model: in any mode.
        preprocessing: the views of each video.
    """

    config: Config
    model: VideoNetwork
    preprocessing: Preprocessing

    @property
    def device(self) -> torch.device:
        """What computes."""
        return next(self.model.parameters()).device

    def features(self, records: RecordList, title: str) -> list[VideoFeatures]:
        """Return the features of this process's part of some records, in their order; ``title`` names the progress."""
        network = StageFeatures(self.model, partial(self.preprocessing.prepare, device=self.device))
        loader = build_view_loader(self.config, records, self.preprocessing)
        videos = features_of_views(network, loader, self.config.TEST.BATCH_SIZE)
        found = []
        for item, views in videos_with_progress(videos, len(loader), title):
            features = None if views is None else unit_mean(views)
            found.append(VideoFeatures(item.index, features, item.error))
        return found


def remember(extractor: FeatureExtractor, memory: RecordList) -> tuple[list[VideoFeatures], list[tuple[str, str]]]:
    """Return the features of the memory's readable videos on every process, and (video, reason) of the others.

    Raises:
        InputError: not one could be read.
    """
    readable = []
    failures = []
    for video in gather_results(extractor.features(memory, "memory")):
        if video.error is None:
            readable.append(video)
            continue
        path = memory.records[video.index].path
        print_line(f"cannot read {path} of the memory: {video.error}")
        failures.append((path, video.error))

    if not readable:
        path, reason = failures[0]
        raise InputError(
            f"none of {pluralize(len(memory), 'video')} of the memory could be read; first: {path}: {reason}"
        )
    return readable, failures


def votes_of_neighbours(
    queries: Sequence[VideoFeatures],
    remembered: Sequence[VideoFeatures],
    memory: RecordList,
    ids: VideoIds,
    k: int,
    device: torch.device,
) -> Tensor:
    """Return class probabilities, float32 ``[n, K]`` on the CPU, of the queries that could be read, in their order."""
    read = [query for query in queries if query.error is None]
    if not read:
        return torch.empty(0, len(memory.label_names))

    # Of the memory, only the videos that could be read have a vote.
    labels = torch.tensor([record.labels[0] for record in memory.records])
    voters = [video.index for video in remembered]
    tensors = (
        torch.stack([query.features for query in read]),
        ids.queries[[query.index for query in read]],
        torch.stack([video.features for video in remembered]),
        ids.memory[voters],
        labels[voters],
    )
    on_device = [tensor.to(device) for tensor in tensors]
    return vote(*on_device, k, len(memory.label_names)).cpu()


def without_luck(results: Sequence[VideoResult]) -> list[VideoResult]:
    """Return results in which a true class that got no vote stands at the end.

    Among others without a vote, only their order would make it a hit.
    """
    judged = []
    for result in results:
        if result.error is None and result.probabilities[result.labels[0]] == 0:
            probabilities = result.probabilities.clone()
            probabilities[result.labels[0]] = -1
            result = dataclasses.replace(result, probabilities=probabilities)
        judged.append(result)
    return judged


def results_of_votes(queries: Sequence[VideoFeatures], records: RecordList, probabilities: Tensor) -> list[VideoResult]:
    """Return a result for each query; ``probabilities`` has a row for each that could be read."""
    rows = iter(probabilities)
    results = []
    for query in queries:
        record = records.records[query.index]
        if query.error is not None:
            results.append(VideoResult(query.index, record.path, record.labels, error=query.error, id=record.id))
            continue
        # A copy: a row of a matrix would be sent to the other processes with the whole matrix.
        own = next(rows).clone()
        results.append(VideoResult(query.index, record.path, record.labels, own, views=1, id=record.id))
    return results
