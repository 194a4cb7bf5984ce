"""Answers for uploaded videos: read in a worker process, by the network one after the other."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from video_rs.data.dataset import VideoSource
from video_rs.data.preprocessing import Preprocessing
from video_rs.engine.evaluation import Scorer, evaluate
from video_rs.inference.looking import look_at, read_seen
from video_rs.inference.prediction import Prediction
from video_rs.inference.predictor import Predictor
from video_rs.inference.timeline.making import timeline_of
from video_rs.inference.timeline.timeline import Timeline
from video_rs.lists.records import VideoRecord
from video_rs.reports.heat import film_frames
from video_rs.runs.demo_app.limits import Limits
from video_rs.runs.demo_app.timeline_reading import FramesFromWorker, read_footage, settings_for
from video_rs.runs.look import describe, frames_per_second
from video_rs.runtime.errors import InputError
from video_rs.runtime.task_service import TaskService
from video_rs.video import DecodeError, VideoReader
from video_rs.video.encoding import write_video
from video_rs.video.plain_files import require_plain_file
from video_rs.video.preview import preview

Reading = Callable[[VideoReader, Preprocessing, VideoRecord], Any]
"""What is done with an open video in a worker process; picklable. It returns no ``str``."""


def read_preview(reader: VideoReader, preprocessing: Preprocessing, record: VideoRecord) -> bytes:
    """Return an MP4 that every browser plays."""
    return preview(reader, record.path, record.start, record.end)


@dataclass(frozen=True)
class UploadReader:
    """Opens a video and reads something of it, in a worker process.

    Attributes:
        preprocessing: from a video to views.
        source: opens the videos of the run's own list; uploads are opened by PyAV.
        limits: of uploads.
    """

    preprocessing: Preprocessing
    source: VideoSource
    limits: Limits

    def __call__(self, record: VideoRecord, is_upload: bool, read: Reading) -> Any | str:
        """Return what ``read`` returns, or why that cannot be had.

        Args:
            record: of the video.
            is_upload: whether a stranger sent it, who is not trusted.
            read: called with the open video.
        """
        source = self.source
        try:
            if is_upload:
                require_plain_file(record.path)
                source = VideoSource()
            with source.open(record.path) as reader:
                refusal = self.limits.refusal(reader) if is_upload else ""
                if refusal:
                    return refusal
                return read(reader, self.preprocessing, record)
        except DecodeError as error:
            return error.reason


@dataclass(frozen=True)
class TurnTaker:
    """A scorer that waits for its turn before each batch.

    Attributes:
        scorer: the network.
        network: held while it computes.
    """

    scorer: Scorer
    network: threading.Lock

    def __call__(self, views: Tensor) -> Tensor:
        """Return the probabilities of views."""
        with self.network:
            return self.scorer(views)


class VideoAnswers:
    """Answers for videos; any number of threads may ask at once.

    Args:
        predictor: the network.
        reading: a service of an :class:`UploadReader`.
    """

    def __init__(self, predictor: Predictor, reading: TaskService):
        self.predictor = predictor
        self._reading = reading
        # One video at a time: the memory that the network needs has a bound then.
        self._network = threading.Lock()

    def predict(self, record: VideoRecord, is_upload: bool = True) -> Prediction:
        """Return the answer for a video; ``error`` says why there is none.

        Raises:
            Busy: too many videos wait.
        """
        try:
            views: Iterable = [self._read(record, is_upload, read_seen).views]
        except InputError as error:
            return Prediction(record.id, (), str(error))

        with self._network:
            (result,) = evaluate(self.predictor.scorer, views, self.predictor.batch)

        return self.predictor.answers.of(result)

    def look(self, record: VideoRecord, film: str, is_upload: bool = True) -> str:
        """Write a film of where the network looks, and return a line about it.

        Raises:
            InputError: the video cannot be read.
            Busy: too many videos wait.
        """
        seen = self._read(record, is_upload, read_seen)
        with self._network:
            heat_map = look_at(self.predictor, seen)

        captions = [f"{heat_map.label}  {heat_map.score:.1%}  {seconds:.2f} s" for seconds in heat_map.times]
        frames = film_frames(heat_map.pictures.numpy(), heat_map.heat.numpy(), captions)
        write_video(film, frames, frames_per_second(heat_map.times))

        return describe(heat_map)

    def timeline(self, record: VideoRecord, is_upload: bool = True) -> Timeline:
        """Return what happens when in a video.

        Raises:
            InputError: the video cannot be read, no window of it can, or that takes too long.
            Busy: too many videos wait.
        """
        predictor = self.predictor
        # Other answers do not wait for a whole timeline, but for the batch that is computed just now.
        scorer = TurnTaker(predictor.scorer, self._network)
        in_turn = Predictor(scorer, predictor.preprocessing, predictor.answers, batch=predictor.batch)

        footage = self._read(record, is_upload, read_footage)
        source = FramesFromWorker(partial(self._read, record, is_upload))
        timeline = timeline_of(in_turn, footage, source, settings_for(footage, predictor.preprocessing.clip))

        if timeline.windows.unread == len(timeline.windows):
            raise InputError(timeline.unread)
        return timeline

    def preview(self, record: VideoRecord) -> bytes:
        """Return an MP4 of an upload that every browser plays.

        Raises:
            InputError: the video cannot be read.
            Busy: too many videos wait.
        """
        return self._read(record, True, read_preview)

    def _read(self, record: VideoRecord, is_upload: bool, read: Reading) -> Any:
        """Return what a worker process reads of a video."""
        return self._reading.ask(record, is_upload, read)
