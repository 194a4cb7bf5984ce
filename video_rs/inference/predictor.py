"""Prediction from a checkpoint, by the same reading, views and averaging as testing."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.data.loader import ViewLoader, Workers
from video_rs.data.order import Partition
from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.evaluation import evaluate
from video_rs.engine.metrics import VideoResult, top_labels
from video_rs.lists.records import VideoRecord
from video_rs.models import VideoClassifier
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.models.fast import speed_up
from video_rs.models.weights import load_strictly
from video_rs.models.weights.pretrained import stored_architecture
from video_rs.runtime.devices import pick_device
from video_rs.runtime.wording import pluralize
from video_rs.video import DecodeError, VideoReader
from video_rs.video.readers.in_memory import DEFAULT_FPS, InMemoryReader

Video = str | os.PathLike | np.ndarray | Tensor
"""A path, a URL, or RGB frames uint8 ``[T, H, W, 3]``."""

BATCH = 8  # views per forward pass


@dataclass(frozen=True)
class Prediction:
    """Answer for one video.

    Attributes:
        video: path as given; of frames in memory, how many there were.
        top: (label, score) pairs, best first, at most five; scores are mean probabilities over the views.
        error: why there is no answer, or None.
    """

    video: str
    top: tuple[tuple[str, float], ...]
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the object that ``predict --json`` writes."""
        top = [{"label": label, "score": score} for label, score in self.top]
        return {"video": self.video, "top": top, "error": self.error}


class Predictor:
    """A trained model that labels videos.

    Args:
        model: in evaluation mode, on ``device``.
        preprocessing: as the checkpoint stores it.
        label_names: one per class.
        device: where the model is.
        decoder: one of :data:`video_rs.video.DECODERS`.
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
        batch: int = BATCH,
        multi_label: bool = False,
    ):
        self.model = model
        self.preprocessing = preprocessing
        self.label_names = label_names
        self.decoder = decoder
        self.batch = batch
        self.multi_label = multi_label
        self.prepare = partial(preprocessing.prepare, device=device)

    @classmethod
    def from_checkpoint(cls, path: str, device: str = "auto", decoder: str = "auto") -> "Predictor":
        """Return a predictor with the EMA weights of a checkpoint.

        Args:
            path: of a checkpoint of this project, or of its run's folder.
            device: "auto", "cpu", "cuda" or "mps".
            decoder: one of :data:`video_rs.video.DECODERS`.

        Raises:
            InputError: there is no readable checkpoint of this project at ``path``.
        """
        checkpoint = load_checkpoint(path)
        picked = pick_device(device)
        preprocessing = Preprocessing.from_dict(checkpoint["preprocessing"])
        model = load_classifier(checkpoint, picked)
        require_right_convolutions(model, preprocessing.clip_shape(BATCH), advice="take the CPU: --device cpu")

        label_names = checkpoint["label_names"]
        return cls(model, preprocessing, label_names, picked, decoder, multi_label=checkpoint["multi_label"])

    def predict(self, video: Video, fps: float = DEFAULT_FPS) -> Prediction:
        """Return the five best labels of one video.

        Args:
            video: a path, a URL, or RGB frames uint8 ``[T, H, W, 3]``, an array or a tensor.
            fps: frames per second of such frames, which counts only where clips are taken by time.

        Raises:
            DecodeError: the video cannot be read.
            InputError: frames of another dtype or shape.
        """
        if isinstance(video, np.ndarray | Tensor):
            return self._predict_frames(InMemoryReader(video, fps))

        prediction = next(self.predict_many([video]))
        if prediction.error is not None:
            raise DecodeError(video, prediction.error)
        return prediction

    def predict_many(self, videos: Iterable[str | os.PathLike], workers: Workers | None = None) -> Iterator[Prediction]:
        """Yield one prediction for each video, in order; a video that cannot be read has ``error`` set.

        Args:
            videos: paths or URLs.
            workers: processes that read several videos at once, and lose a video on which the decoder hangs or crashes
                without losing the others; None reads them here.
        """
        records = []
        for video in videos:
            path = os.fspath(video)
            records.append(VideoRecord(path, (), None, None, path))

        # The loader and the evaluation are those of testing, and therefore so are the numbers.
        read = ViewReader(self.preprocessing, VideoSource(self.decoder))
        items = ViewLoader(records, read, Partition(), workers or Workers())
        for result in evaluate(self.model, items, self.prepare, self.batch, self.multi_label):
            yield self._prediction(result)

    def _predict_frames(self, frames: InMemoryReader) -> Prediction:
        """Return the five best labels of frames in memory."""
        name = pluralize(frames.num_frames, "frame")
        read = ViewReader(self.preprocessing, _Frames(frames))
        item = read(VideoRecord(name, (), None, None, name), 0)

        (result,) = evaluate(self.model, [item], self.prepare, self.batch, self.multi_label)
        prediction = self._prediction(result)
        if prediction.error is not None:
            raise DecodeError(name, prediction.error)
        return prediction

    def _prediction(self, result: VideoResult) -> Prediction:
        """Return the answer for a video from the probabilities of all classes."""
        if result.error is not None:
            return Prediction(result.video, (), result.error)
        top = top_labels(result.probabilities, self.label_names)
        return Prediction(result.video, tuple(top))


@dataclass(frozen=True)
class _Frames:
    """A source with frames in memory as its only video."""

    reader: InMemoryReader

    def open(self, path: str) -> VideoReader:
        return self.reader


def load_classifier(checkpoint: dict[str, Any], device: torch.device) -> VideoClassifier:
    """Return the checkpoint's network with its EMA weights, sped up and in evaluation mode.

    The weights are the raw ones where the checkpoint kept no average.
    """
    architecture = stored_architecture(checkpoint["architecture"], "the checkpoint")
    model = VideoClassifier(architecture, checkpoint["num_classes"])
    weights = checkpoint["ema"] or checkpoint["model"]
    load_strictly(model, weights, "the checkpoint")
    return speed_up(model).to(device, memory_format=torch.channels_last_3d).eval()
