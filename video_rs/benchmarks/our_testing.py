"""Our testing as a run has it, and the loop that it is held against: a loop that opens a video anew for each view."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from video_rs.benchmarks.eval_ways import ENDLESS, Pipeline
from video_rs.benchmarks.network_calls import autocast, network_on_device
from video_rs.benchmarks.published import published_views
from video_rs.benchmarks.stopwatch import Stopwatch
from video_rs.benchmarks.subject import Subject
from video_rs.data.dataset import VideoSource, ViewReader, record_span
from video_rs.data.loader import ViewLoader, Workers
from video_rs.data.order import Partition
from video_rs.data.preprocessing import Preprocessing
from video_rs.data.resized_frames import decoded_chunks
from video_rs.engine.evaluation import NetworkScorer, Scorer, evaluate
from video_rs.engine.metrics import VideoResult
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.runtime.workers import Lost
from video_rs.video import DecodeError, VideoReader

# Seconds for a video, or for a view of it.
TIME_LIMIT = 600.0


def views_of(subject: Subject) -> Preprocessing:
    """Return the views that a subject tests by."""
    return published_views(subject.frames, subject.size, subject.clips_per_video, subject.crops)


def records_of(subject: Subject) -> list[VideoRecord]:
    """Return the subject's videos, over and over."""
    records = [VideoRecord(video, (0,), None, None, video) for video in subject.videos]
    return list(itertools.islice(itertools.cycle(records), ENDLESS))


def scorer_of(subject: Subject) -> Scorer:
    """Return the subject's network, as testing calls it, in the subject's precision."""
    prepare = partial(views_of(subject).prepare, device=torch.device(subject.device))
    network = network_on_device(subject).eval()

    def run(clips: Tensor) -> Tensor:
        with autocast(subject):
            return network(clips).float()

    return NetworkScorer(network, prepare, run=run)


def our_testing(subject: Subject, waiting: Stopwatch, computing: Stopwatch) -> Pipeline:
    """Return our testing: a worker decodes a video once, resizes what some view shows, and hands it over as a whole."""
    read = ViewReader(views_of(subject), VideoSource(subject.decoder))
    loader = ViewLoader(records_of(subject), read, Partition(), Workers(subject.workers, TIME_LIMIT))

    # As the command does; the stopwatches change nothing.
    results = evaluate(computing.timed(scorer_of(subject)), waiting.waits(loader), subject.batch)
    # Of each worker, two videos.
    return Pipeline(map(_scored_views, results), ahead=2 * subject.workers * subject.views)


def _scored_views(result: VideoResult) -> int:
    """Return how many views of a video were scored."""
    if result.error is not None:
        raise InputError(f"{result.video} cannot be read: {result.error}; take it off the list")
    return result.views


@dataclass(frozen=True)
class SingleViewReader:
    """From a record to one of its views, as a loader does whose samples are views: open, decode, resize, cut out.

    Attributes:
        preprocessing: as testing has it.
        source: opens the videos.
    """

    preprocessing: Preprocessing
    source: VideoSource

    def __call__(self, record: VideoRecord, number: int) -> Tensor:
        """Return view ``number`` of the record, uint8 ``[3, T, crop, crop]``, in the order of our views.

        Raises:
            InputError: the video cannot be read.
        """
        try:
            with self.source.open(record.path) as reader:
                clips = clips_of(reader, self.preprocessing, record)
                crop, clip = divmod(number, len(clips))
                frames = reader.frames(clips[clip])
        except DecodeError as error:
            raise InputError(f"{error}; take it off the list") from error
        return self.preprocessing.transform(frames)[crop].contiguous()


def clips_of(reader: VideoReader, preprocessing: Preprocessing, record: VideoRecord) -> Tensor:
    """Return the frames of all clips of a video, int64 ``[K, T]``."""
    return preprocessing.clip.uniform(record_span(reader, record), preprocessing.num_clips)


def testing_per_view(subject: Subject, waiting: Stopwatch, computing: Stopwatch) -> Pipeline:
    """Return testing whose samples are views, with the same workers, views and network as ours."""
    read = SingleViewReader(views_of(subject), VideoSource(subject.decoder))
    tasks = itertools.product(records_of(subject), range(subject.views))
    ahead = 2 * max(subject.batch, subject.workers) if subject.workers else 0
    views = Workers(subject.workers, TIME_LIMIT).map(read, tasks, ahead)

    return Pipeline(_scored_in_batches(views, subject, waiting, computing), ahead)


def _scored_in_batches(
    views: Iterator[Tensor | Lost], subject: Subject, waiting: Stopwatch, computing: Stopwatch
) -> Iterator[int]:
    """Score views as they come, and yield how many of them at a time."""
    score = computing.timed(torch.inference_mode()(scorer_of(subject)))
    arriving = waiting.waits(views)

    while batch := list(itertools.islice(arriving, subject.batch)):
        score(_stacked(batch))
        yield len(batch)


def _stacked(views: Sequence[Tensor | Lost]) -> Tensor:
    """Return views as a batch, uint8 ``[b, 3, T, crop, crop]``."""
    for view in views:
        if isinstance(view, Lost):
            raise InputError(f"a view cannot be read: {view.reason}")
    return torch.stack(list(views))


def decode_once(subject: Subject) -> Iterator[int]:
    """Decode what the views of a video show, as our testing does: each frame once and in order."""
    preprocessing = views_of(subject)
    source = VideoSource(subject.decoder)
    for record in records_of(subject):
        with source.open(record.path) as reader:
            needed = clips_of(reader, preprocessing, record).unique()
            yield sum(len(chunk) for chunk in decoded_chunks(reader, needed))


def decode_per_view(subject: Subject) -> Iterator[int]:
    """Decode what the views of a video show, opening it anew for each of them."""
    preprocessing = views_of(subject)
    source = VideoSource(subject.decoder)
    for record in records_of(subject):
        pictures = 0
        for number in range(subject.views):
            with source.open(record.path) as reader:
                clips = clips_of(reader, preprocessing, record)
                pictures += len(reader.frames(clips[number % len(clips)]))
        yield pictures
