"""Ways of reading clips as streams whose clips per second are measured."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from video_rs.benchmarks.data_peers import PeerTransform, pytorchvideo_batches, read_from_start
from video_rs.benchmarks.decoding import DECODE, needed_frames
from video_rs.benchmarks.loader import training_loader
from video_rs.benchmarks.subject import Subject
from video_rs.data.dataset import ClipSample
from video_rs.data.loader import ClipLoader
from video_rs.runtime.errors import InputError

# Clips of a batch of ours.
BATCH = 4
# Batches that DataLoader reads ahead for each of its workers.
PREFETCHED = 2
# Batches in a row without a clip, after which the videos cannot be read.
MOST_EMPTY = 50
# A round has at least so many clips, and takes at least so long.
ROUND_CLIPS = 8
ROUND_SECONDS = 2.0


class Stream(NamedTuple):
    """Clips that arrive.

    Attributes:
        counts: the number of clips that have just arrived, again and again.
        ahead: how many clips may have been read before they are asked for.
    """

    counts: Iterator[int]
    ahead: int


class DataRounds:
    """Rounds of one way of reading.

    Attributes:
        first_clip_s: seconds from asking for clips to the first one.
    """

    def __init__(self, subject: Subject):
        started = time.perf_counter()
        self.stream = STREAMS[subject.way](subject)
        next(self.stream.counts)
        self.first_clip_s = time.perf_counter() - started

    def warm_up(self) -> None:
        """Read two rounds."""
        self.measure()
        self.measure()

    def measure(self) -> dict[str, list[float]]:
        """Read one round; return ``clips_per_s``."""
        # What was read ahead while other subjects had their turn took no time of this round.
        taken = 0
        while taken < self.stream.ahead:
            taken += self._next()

        clips = 0
        started = time.perf_counter()
        while clips < ROUND_CLIPS or time.perf_counter() - started < ROUND_SECONDS:
            clips += self._next()
        return {"clips_per_s": [clips / (time.perf_counter() - started)]}

    def end(self) -> dict[str, float]:
        """Return the seconds to the first clip."""
        return {"first_clip_s": self.first_clip_s}

    def _next(self) -> int:
        """Return the clips of the next batch that has any; InputError where none comes."""
        for _ in range(MOST_EMPTY):
            clips = next(self.stream.counts)
            if clips:
                return clips
        raise InputError(f"no clip in {MOST_EMPTY} batches: the videos cannot be read this way")


def decoding_alone(subject: Subject) -> Stream:
    """Return clips whose frames are decoded, and nothing else."""
    decode = DECODE[subject.decoder]
    frames = needed_frames(subject)

    def counts() -> Iterator[int]:
        for video, indices in frames:
            decode(video, indices)
            yield 1

    return Stream(counts(), ahead=0)


def our_loader(subject: Subject) -> Stream:
    """Return our training clips through one worker process."""
    loader = training_loader(subject, BATCH, workers=1)
    return Stream((len(batch.labels) for batch in loader), ahead=4 * BATCH)


class Samples(torch.utils.data.Dataset):
    """Our training clips, as torch's DataLoader takes them."""

    def __init__(self, loader: ClipLoader):
        self.records = loader.records
        self.read = loader.read

    def __getitem__(self, key: tuple[int, int]) -> ClipSample:
        epoch, pick = key
        [sample] = self.read(self.records[pick], epoch, pick)
        return sample


def _stacked(samples: list[ClipSample]) -> Tensor:
    """Return the clips of samples as a batch, uint8 ``[B, 3, T, H, W]``."""
    return torch.stack([sample.clip for sample in samples])


def our_clips_through_dataloader(subject: Subject) -> Stream:
    """Return our training clips through one worker process of torch's DataLoader."""
    loader = training_loader(subject, BATCH, workers=1)
    batches = torch.utils.data.DataLoader(
        Samples(loader), batch_sampler=loader.order, num_workers=1, prefetch_factor=PREFETCHED, collate_fn=_stacked
    )
    return Stream((len(clips) for clips in batches), ahead=4 * BATCH)


def our_clips_through_threads(subject: Subject) -> Stream:
    """Return our training clips through one thread of spdl."""
    loader = training_loader(subject, BATCH, workers=1)
    # Each stage of spdl's pipeline has a queue.
    return Stream(_through_threads(loader), ahead=16 * BATCH)


def _through_threads(loader: ClipLoader) -> Iterator[int]:
    from spdl.pipeline import PipelineBuilder

    # Like a worker process, the thread has one core for its operators.
    torch.set_num_threads(1)
    samples = Samples(loader)
    keys = (key for batch in loader.order for key in batch)
    builder = PipelineBuilder().add_source(keys)
    builder = builder.pipe(samples.__getitem__, concurrency=1).aggregate(BATCH)
    pipeline = builder.pipe(_stacked).add_sink(2).build(num_threads=1)
    with pipeline.auto_stop():
        for clips in pipeline:
            yield len(clips)


def pytorchvideo_clips(subject: Subject) -> Stream:
    """Return the clips of pytorchvideo's dataset through one worker process."""
    batches, ahead = pytorchvideo_batches(subject, BATCH, 1)
    return Stream((len(batch["video"]) for batch in batches), ahead=ahead * BATCH)


def first_script(subject: Subject) -> Stream:
    """Return the clips of a first script, which decodes every video from its start."""
    transform = PeerTransform(subject.frames, subject.size)
    frames = needed_frames(subject)

    def counts() -> Iterator[int]:
        for video, indices in frames:
            read_from_start(video, indices, transform)
            yield 1

    return Stream(counts(), ahead=0)


STREAMS: dict[str, Callable[[Subject], Stream]] = {
    "decode": decoding_alone,
    "loader": our_loader,
    "DataLoader": our_clips_through_dataloader,
    "threads": our_clips_through_threads,
    "dataset": pytorchvideo_clips,
    "plain PyAV loop": first_script,
}
