"""Ways of reading clips as streams whose clips per second are measured."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from video_rs.benchmarks.data_peers import PeerTransform, plain_clip, pytorchvideo_batches
from video_rs.benchmarks.published import published_clips, published_transform
from video_rs.benchmarks.subject import LOOP, Subject
from video_rs.data.dataset import ClipReader, ClipSample, VideoSource
from video_rs.data.loader import ClipLoader, Workers
from video_rs.data.order import ClipOrder, Partition, permutation
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.video.segments import whole_video

# Clips of a batch of ours.
BATCH = 4
# Batches in a row without a clip, after which the videos cannot be read.
MOST_EMPTY = 50
# A round has at least so many clips, and takes at least so long.
ROUND_CLIPS = 8
ROUND_SECONDS = 2.0
# More than anybody reads.
STEPS = 100_000


class Stream(NamedTuple):
    """Clips that arrive.

    Attributes:
        counts: the number of clips that have just arrived, again and again.
        ahead: how many clips may have been read before they are asked for.
    """

    counts: Iterator[int]
    ahead: int


class DataRounds:
    """Rounds of one way of reading; what was read ahead between two rounds goes first, unmeasured.

    Attributes:
        first_clip_s: seconds from the first import to the first clip.
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


def decoding(subject: Subject) -> Stream:
    """Return the limit: open, seek to the key frame, decode to the last frame of the clip, give its frames as RGB."""
    decode = DECODE[subject.decoder]
    return Stream((decode(video, indices) for video, indices in needed_frames(subject)), ahead=0)


def needed_frames(subject: Subject) -> Iterator[tuple[str, np.ndarray]]:
    """Return videos in random order, each with the frames of a random clip.

    The frames are counted before anything is measured.
    """
    from video_rs.video import open_video

    clip = published_clips(subject.frames)
    spans = {}
    for video in subject.videos:
        with open_video(video) as reader:
            spans[video] = whole_video(reader.num_frames, reader.fps, reader.times)

    def draw() -> Iterator[tuple[str, np.ndarray]]:
        generator = torch.Generator().manual_seed(0)
        while True:
            for number in torch.randperm(len(subject.videos), generator=generator).tolist():
                video = subject.videos[number]
                yield video, clip.random(spans[video], generator).numpy()

    return draw()


def decode_pyav(video: str, indices: np.ndarray) -> int:
    """Decode every frame from the key frame on, with PyAV."""
    from video_rs.video.container import open_container, video_streams

    wanted = set(indices.tolist())
    kept = []
    with open_container(video) as container:
        stream = video_streams(container, video)[0]
        stream.codec_context.thread_count = 1
        rate = stream.average_rate
        base = stream.time_base
        start = stream.start_time or 0
        container.seek(start + int(min(wanted) / rate / base), stream=stream)
        for frame in container.decode(stream):
            index = round((frame.pts - start) * base * rate)
            if index in wanted:
                kept.append(frame.to_ndarray(format="rgb24"))
            if index >= max(wanted):
                break
    np.stack(kept)
    return 1


def decode_torchcodec(video: str, indices: np.ndarray) -> int:
    """Decode with TorchCodec, without a scan: times are reckoned from the rate."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(video, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
    decoder.get_frames_at(indices.tolist())
    return 1


def decode_decord(video: str, indices: np.ndarray) -> int:
    """Decode as decord's users write it."""
    import decord

    decord.VideoReader(video, num_threads=1).get_batch(indices.tolist()).asnumpy()
    return 1


DECODE: dict[str, Callable[[str, np.ndarray], int]] = {
    "pyav": decode_pyav,
    "torchcodec": decode_torchcodec,
    "decord": decode_decord,
}


def our_loader(subject: Subject) -> Stream:
    """Return our training clips through one worker process."""
    return Stream((len(batch.labels) for batch in loader_of(subject)), ahead=4 * BATCH)


def our_clips_through_dataloader(subject: Subject) -> Stream:
    """Return our training clips through one worker process of torch's DataLoader."""
    loader = loader_of(subject)
    batches = torch.utils.data.DataLoader(
        Samples(loader), batch_sampler=loader.order, num_workers=1, prefetch_factor=2, collate_fn=_stacked
    )
    return Stream((len(clips) for clips in batches), ahead=4 * BATCH)


def our_clips_through_threads(subject: Subject) -> Stream:
    """Return our training clips through one thread of spdl, each of whose stages has a queue."""
    return Stream(_through_threads(loader_of(subject)), ahead=16 * BATCH)


def loader_of(subject: Subject, batch: int = BATCH, workers: int = 1) -> ClipLoader:
    """Return the loader as training builds it."""
    records = [VideoRecord(video, (0,), None, None, video) for video in subject.videos]
    source = VideoSource("pyav" if subject.kind == LOOP else subject.decoder, subject.cache)
    clips = subject.clips_per_video
    read = ClipReader(published_clips(subject.frames), published_transform(subject.size), source, 0, clips)
    epoch = partial(permutation, seed=0, num_samples=len(records))
    order = ClipOrder(epoch, len(records), batch, 1, Partition(), 0, STEPS, clips)
    return ClipLoader(records, read, order, Workers(workers))


class Samples(torch.utils.data.Dataset):
    """What torch's DataLoader takes."""

    def __init__(self, loader: ClipLoader):
        self.records = loader.records
        self.read = loader.read

    def __getitem__(self, key: tuple[int, int]) -> ClipSample:
        epoch, pick = key
        [sample] = self.read(self.records[pick], epoch, pick)
        return sample


def _stacked(samples: list[ClipSample]) -> Tensor:
    return torch.stack([sample.clip for sample in samples])


def _through_threads(loader: ClipLoader) -> Iterator[int]:
    """Yield clips read by one thread of spdl, which like a worker process has one core for its operators."""
    from spdl.pipeline import PipelineBuilder

    torch.set_num_threads(1)
    samples = Samples(loader)
    keys = (key for batch in loader.order for key in batch)
    pipeline = PipelineBuilder().add_source(keys).pipe(samples.__getitem__, concurrency=1).aggregate(BATCH)
    pipeline = pipeline.pipe(_stacked).add_sink(2).build(num_threads=1)
    with pipeline.auto_stop():
        for clips in pipeline:
            yield len(clips)


def pytorchvideo_clips(subject: Subject) -> Stream:
    """Return the clips of pytorchvideo's dataset through one worker process."""
    batches, ahead = pytorchvideo_batches(subject, BATCH, 1)
    return Stream((len(batch["video"]) for batch in batches), ahead=ahead * BATCH)


def plain_loop(subject: Subject) -> Stream:
    """Return the clips of a first script."""
    transform = PeerTransform(subject.frames, subject.size)
    counts = (plain_clip(video, indices, transform) for video, indices in needed_frames(subject))
    return Stream(counts, ahead=0)


STREAMS: dict[str, Callable[[Subject], Stream]] = {
    "decode": decoding,
    "loader": our_loader,
    "DataLoader": our_clips_through_dataloader,
    "threads": our_clips_through_threads,
    "dataset": pytorchvideo_clips,
    "plain PyAV loop": plain_loop,
}
