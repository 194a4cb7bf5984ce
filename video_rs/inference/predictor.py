"""Prediction from a checkpoint, through the same reading, views and averaging as testing."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.data.decoding import DecodeError
from video_rs.data.preprocessing import Preprocessing
from video_rs.data.records import VideoRecord
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.distributed import pick_device
from video_rs.engine.evaluator import evaluate
from video_rs.engine.metrics import VideoResult, top_labels
from video_rs.models import Architecture, VideoClassifier
from video_rs.models.pretrained import load_strictly


@dataclass(frozen=True)
class Prediction:
    """Answer for one video.

    Attributes:
        video: path as given.
        top: (label, score) pairs, best first, at most five; scores are mean probabilities over the views.
        error: why there is no answer, or None.
    """

    video: str
    top: tuple[tuple[str, float], ...]
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The object that ``tools/predict.py --json`` writes."""
        top = [{"label": label, "score": score} for label, score in self.top]
        return {"video": self.video, "top": top, "error": self.error}


class Predictor:
    """Labels videos with a trained model.

    Args:
        model: in evaluation mode, on ``device``.
        preprocessing: as the checkpoint stores it.
        label_names: one per class.
        device: where the model is.
        decoder: one of :data:`video_rs.data.decoding.DECODERS`.
        batch: views per forward pass.
        multi_label: the model gives each class a probability of its own.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocessing: Preprocessing,
        label_names: list[str],
        device: torch.device,
        decoder: str = "auto",
        batch: int = 8,
        multi_label: bool = False,
    ):
        self.model, self.preprocessing, self.label_names = model, preprocessing, label_names
        self.decoder, self.batch, self.multi_label = decoder, batch, multi_label
        self.prepare = partial(preprocessing.prepare, device=device)

    @classmethod
    def from_checkpoint(cls, path: str, device: str = "auto", decoder: str = "auto") -> "Predictor":
        """A predictor with the EMA weights of a checkpoint.

        Raises:
            InputError: there is no readable checkpoint of this project at ``path``.
        """
        checkpoint = load_checkpoint(path)
        where = pick_device(device)
        preprocessing = Preprocessing.from_dict(checkpoint["preprocessing"])
        model, names = load_classifier(checkpoint, where), checkpoint["label_names"]
        return cls(model, preprocessing, names, where, decoder, multi_label=checkpoint["multi_label"])

    def predict(self, video: str) -> Prediction:
        """The five best labels of one video.

        Raises:
            DecodeError: the video cannot be read.
        """
        prediction = next(self.predict_many([video]))
        if prediction.error is not None:
            raise DecodeError(video, prediction.error)
        return prediction

    def predict_many(self, videos: Iterable[str]) -> Iterator[Prediction]:
        """One prediction for each video, in order; a video that cannot be read has ``error`` set."""
        records = [VideoRecord(str(video), (), None, None, str(video)) for video in videos]
        read = ViewReader(self.preprocessing, VideoSource(self.decoder))
        items = (read(record, index) for index, record in enumerate(records))
        for result in evaluate(self.model, items, self.prepare, self.batch, self.multi_label):
            yield self._prediction(result)

    def _prediction(self, result: VideoResult) -> Prediction:
        if result.error is not None:
            return Prediction(result.video, (), result.error)
        return Prediction(result.video, tuple(top_labels(result.probabilities, self.label_names)))


def load_classifier(checkpoint: dict[str, Any], device: torch.device) -> VideoClassifier:
    """The checkpoint's network with its EMA weights (the raw ones where it kept no average), for evaluation."""
    model = VideoClassifier(Architecture(**checkpoint["architecture"]), checkpoint["num_classes"])
    load_strictly(model, checkpoint["ema"] or checkpoint["model"], "the checkpoint")
    return model.to(device, memory_format=torch.channels_last_3d).eval()
