"""The features of views: the one place where videos go in and feature vectors come out."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.engine.evaluation import NetworkScorer, outputs_of_videos
from video_rs.inference.predictor import Predictor, part_of
from video_rs.models import VideoNetwork
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

    model: VideoNetwork
    prepare: Callable[[Tensor], Tensor]
    stage: str = "res5"

    @property
    def channels(self) -> int:
        """How many numbers a view has."""
        return feature_shapes(self.model.backbone.architecture)[self.stage].channels

    @torch.inference_mode()
    def __call__(self, views: Tensor) -> Tensor:
        """Return the features of uint8 views ``[b, 3, T, h, w]``, float32 ``[b, channels]`` on the CPU."""
        # Batch norm has to take its stored statistics, wherever the network comes from.
        self.model.eval()
        return self.model.pooled_features(self.prepare(views), self.stage).float().cpu()


def features_of_views(network: StageFeatures, videos: Iterable[Any], batch: int) -> Iterator[tuple[Any, Tensor | None]]:
    """Yield each video with the features of its views, in order; with None where it could not be read.

    Args:
        network: views -> features.
        videos: items as of :func:`video_rs.engine.evaluation.outputs_of_videos`.
        batch: views per forward pass.

    Yields:
        An item, and float32 ``[V, channels]`` on the CPU, in the order of its views.
    """
    for item, parts in outputs_of_videos(network, videos, batch):
        features = None
        if parts is not None:
            features = torch.cat(parts)
        yield item, features


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

    read = ViewReader(predictor.preprocessing.published_views(), VideoSource(predictor.decoder))
    item = read(part_of(video), 0)
    if item.error is not None:
        raise DecodeError(item.video, item.error)
    network = StageFeatures(scorer.model, scorer.prepare, stage)
    ((_, features),) = features_of_views(network, [item], predictor.batch)
    return features
