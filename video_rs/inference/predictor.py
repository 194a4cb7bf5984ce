"""Prediction from a checkpoint, by the same reading, views and averaging as testing."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor

from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.data.loader import ViewLoader, Workers
from video_rs.data.order import Partition
from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.evaluation import NetworkScorer, Scorer, evaluate
from video_rs.engine.probabilities import ClassProbabilities
from video_rs.inference.calibration import Calibration, StoppingRule
from video_rs.inference.prediction import Answers, Prediction
from video_rs.inference.video_scoring import largest_clips, video_scorer
from video_rs.lists.records import VideoRecord
from video_rs.models.convolution_check import require_right_convolutions
from video_rs.models.stored import load_classifier
from video_rs.runtime.devices import pick_device
from video_rs.runtime.wording import pluralize
from video_rs.video import DecodeError, VideoReader
from video_rs.video.readers.in_memory import DEFAULT_FPS, InMemoryReader

Video = str | os.PathLike | np.ndarray | Tensor
"""A path, a URL, or RGB frames uint8 ``[T, H, W, 3]``."""

BATCH = 8  # views per forward pass


class Predictor:
    """Labels videos.

    Args:
        scorer: views uint8 ``[b, 3, T, h, w]`` -> probabilities float32 ``[b, K]``.
        preprocessing: from a video to views.
        answers: from probabilities to labels.
        decoder: one of :data:`video_rs.video.DECODERS`.
        batch: views per forward pass.
        stopping: of a calibration, for adaptive views; None: there is none.
    """

    def __init__(
        self,
        scorer: Scorer,
        preprocessing: Preprocessing,
        answers: Answers,
        decoder: str = "auto",
        batch: int = BATCH,
        stopping: StoppingRule | None = None,
    ):
        self.scorer = scorer
        self.preprocessing = preprocessing
        self.answers = answers
        self.decoder = decoder
        self.batch = batch
        self.stopping = stopping

    @classmethod
    def from_checkpoint(
        cls, path: str | os.PathLike, device: str = "auto", decoder: str = "auto", views: str = ""
    ) -> "Predictor":
        """Return a predictor with the EMA weights of a checkpoint, and with its calibration, where it has one.

        Args:
            path: of a checkpoint of this project, or of its run's folder.
            device: "auto", "cpu", "cuda" or "mps".
            decoder: one of :data:`video_rs.video.DECODERS`.
            views: one of :data:`video_rs.data.preprocessing.VIEWS`; "": those of the checkpoint.

        Raises:
            InputError: there is no readable checkpoint of this project at ``path``, or there are no such views.
        """
        checkpoint = load_checkpoint(path)
        picked = pick_device(device)
        preprocessing = Preprocessing.from_dict(checkpoint["preprocessing"])
        if views:
            preprocessing = replace(preprocessing, views=views)
        calibration = Calibration.of_checkpoint(checkpoint)
        if preprocessing.views == "adaptive" and calibration.stopping is not None:
            # A rule holds for the views that it was made with, which need not be those of the run's tests.
            _, clips, crops = calibration.stopping
            transform = replace(preprocessing.transform, num_crops=crops)
            preprocessing = replace(preprocessing, num_clips=clips, transform=transform)
        model = load_classifier(checkpoint, picked)
        largest = largest_clips(model, preprocessing, BATCH)
        require_right_convolutions(model, largest, advice="take the CPU: --device cpu")

        multi_label = checkpoint["multi_label"]
        probabilities = ClassProbabilities(multi_label, calibration.temperature)
        scorer = NetworkScorer(model, partial(preprocessing.prepare, device=picked), probabilities)
        answers = Answers(tuple(checkpoint["label_names"]), multi_label, calibration.threshold)
        return cls(scorer, preprocessing, answers, decoder, stopping=calibration.stopping)

    def predict(
        self, video: Video, fps: float = DEFAULT_FPS, start: float | None = None, end: float | None = None
    ) -> Prediction:
        """Return the five best labels of one video.

        Args:
            video: a path, a URL, or RGB frames uint8 ``[T, H, W, 3]``, an array or a tensor.
            fps: frames per second of such frames, which counts only where clips are taken by time.
            start, end: of the part that is meant, in seconds; None: from its begin, to its end.

        Raises:
            DecodeError: the video cannot be read, or has no frame in that part.
            InputError: frames of another dtype or shape.
        """
        if isinstance(video, np.ndarray | Tensor):
            frames = InMemoryReader(video, fps)
            name = pluralize(frames.num_frames, "frame")
            read = ViewReader(self.preprocessing, _Frames(frames))
            item = read(VideoRecord(name, (), start, end, name), 0)
            (prediction,) = self._answers([item])
        else:
            (prediction,) = self.predict_records([part_of(video, start, end)])

        if prediction.error is not None:
            raise DecodeError(prediction.video, prediction.error)
        return prediction

    def predict_many(self, videos: Iterable[str | os.PathLike], workers: Workers | None = None) -> Iterator[Prediction]:
        """Yield one prediction for each video, in order; a video that cannot be read has ``error`` set.

        Args:
            videos: paths or URLs.
            workers: as for :meth:`predict_records`.
        """
        return self.predict_records([part_of(video) for video in videos], workers)

    def predict_records(self, records: Sequence[VideoRecord], workers: Workers | None = None) -> Iterator[Prediction]:
        """Yield one prediction for each row of a list, in order; a video that cannot be read has ``error`` set.

        Args:
            records: of the list.
            workers: processes that read several videos at once, and lose a video on which the decoder hangs or crashes
                without losing the others; None reads them here.
        """
        # The loader and the evaluation are those of testing, and therefore so are the numbers.
        read = ViewReader(self.preprocessing, VideoSource(self.decoder))
        return self._answers(ViewLoader(records, read, Partition(), workers or Workers()))

    def _answers(self, videos: Iterable[Any]) -> Iterator[Prediction]:
        """Return the answers for videos as they are read.

        Raises:
            InputError: views that cannot be had.
        """
        scorer = video_scorer(self.scorer, self.preprocessing, self.stopping, self.batch, self.answers.multi_label)
        return map(self.answers.of, evaluate(scorer, videos, self.batch))


def part_of(video: str | os.PathLike, start: float | None = None, end: float | None = None) -> VideoRecord:
    """Return the record of a video without labels, or of a part of it, in seconds."""
    path = os.fspath(video)
    return VideoRecord(path, (), start, end, path)


@dataclass(frozen=True)
class _Frames:
    """A source with frames in memory as its only video."""

    reader: InMemoryReader

    def open(self, path: str) -> VideoReader:
        return self.reader
