"""The features of views: the one place where videos go in and feature vectors come out."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.engine.evaluation import NetworkScorer
from video_rs.inference.predictor import Predictor, part_of
from video_rs.models import VideoClassifier
from video_rs.models.resnet3d import feature_shapes
from video_rs.runtime.errors import InputError
from video_rs.video import DecodeError


@dataclass(frozen=True)
class StageFeatures:
    """A stage of a network, pooled over space and time.

    Attributes:
        model: of this project.
        prepare: uint8 clips on the CPU -> float clips on the model's device.
        stage: "stem", "res2", "res3", "res4", or "res5", whose features the last layer sees.
    """

    model: VideoClassifier
    prepare: Callable[[Tensor], Tensor]
    stage: str = "res5"

    @property
    def channels(self) -> int:
        """How many numbers a view has."""
        return feature_shapes(self.model.backbone.architecture)[self.stage].channels

    @torch.no_grad()
    def __call__(self, views: Tensor) -> Tensor:
        """Return the features of uint8 views ``[b, 3, T, h, w]``, float32 ``[b, channels]`` on the CPU."""
        # Batch norm has to take its stored statistics, wherever the network comes from.
        self.model.eval()
        return self.model.pooled_features(self.prepare(views), self.stage).float().cpu()


@dataclass(eq=False)
class _Pending:
    """A video some of whose views wait for a full batch."""

    item: Any
    features: list[Tensor] = field(default_factory=list)

    def result(self) -> tuple[Any, Tensor | None]:
        """Return the video with its features, or with None where it could not be read."""
        if self.item.error is not None:
            return self.item, None
        return self.item, torch.stack(self.features)


def features_of_views(network: StageFeatures, videos: Iterable[Any], batch: int) -> Iterator[tuple[Any, Tensor | None]]:
    """Yield each video with the features of its views, in order; with None where it could not be read.

    A batch holds views of as many videos as it takes to fill it.

    Args:
        network: views -> features.
        videos: items with ``error`` and ``views(batch)``, which gives batches of uint8 ``[b, 3, T, h, w]``.
        batch: views per forward pass.

    Yields:
        An item, and float32 ``[V, channels]`` on the CPU, in the order of its views.
    """
    pending: deque[_Pending] = deque()
    views: list[Tensor] = []
    owners: list[_Pending] = []

    def compute() -> None:
        for owner, features in zip(owners, network(torch.cat(views)), strict=True):
            owner.features.append(features)
        views.clear()
        owners.clear()

    for item in videos:
        video = _Pending(item)
        pending.append(video)
        if item.error is None:
            for view in item.views(1):
                views.append(view)
                owners.append(video)
                if len(views) == batch:
                    compute()

        # A video is done when none of its views waits; those behind it in the list may not come before it.
        while pending and pending[0] not in owners:
            yield pending.popleft().result()

    if views:
        compute()
    for video in pending:
        yield video.result()


def features_of_video(predictor: Predictor, video: str, stage: str = "res5") -> Tensor:
    """Return the features of every view that predicting takes of a video.

    Args:
        predictor: with a network of this project.
        video: a path or URL.
        stage: of the network.

    Returns:
        float32 ``[V, channels]`` on the CPU; the views of the first crop come first.

    Raises:
        DecodeError: the video cannot be read.
        InputError: no such stage, or a predictor without a network.
    """
    scorer = predictor.scorer
    if not isinstance(scorer, NetworkScorer):
        raise InputError("an exported model gives no features of its stages; take its checkpoint")

    read = ViewReader(predictor.preprocessing, VideoSource(predictor.decoder))
    item = read(part_of(video), 0)
    if item.error is not None:
        raise DecodeError(item.video, item.error)
    network = StageFeatures(scorer.model, scorer.prepare, stage)
    ((_, features),) = features_of_views(network, [item], predictor.batch)
    return features
