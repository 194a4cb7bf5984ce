"""A way of reading clips as a function that measures one round of it: -> clips per second."""

import itertools
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from video_rs.benchmarks.data_subjects import DataSubject
from video_rs.benchmarks.published import SAMPLING_RATE, published_clips, published_transform
from video_rs.data.dataset import ClipReader, ClipSample, VideoSource
from video_rs.data.loader import ClipLoader, Workers
from video_rs.data.order import ClipOrder, Partition, permutation
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.video.segments import whole_video

BATCH = 4  # clips of a batch of ours
MOST_EMPTY = 50  # batches without a clip
ROUND_CLIPS, ROUND_SECONDS = 8, 2.0  # a round has at least so many clips and takes at least so long
_EPOCHS = 100_000  # more than anybody reads


class DataCall:
    """One round: what was read ahead between two rounds goes first, unmeasured.

    Attributes:
        first_clip_s: seconds from the first import to the first clip.
    """

    def __init__(self, subject: DataSubject):
        started = time.perf_counter()
        self.stream, self.ahead = STREAMS[subject.how.partition(" ")[0].rstrip(",")](subject)
        next(self.stream)
        self.first_clip_s = time.perf_counter() - started

    def __call__(self) -> float:
        taken = 0
        while taken < self.ahead:
            taken += self._next()
        started, clips = time.perf_counter(), 0
        while clips < ROUND_CLIPS or time.perf_counter() - started < ROUND_SECONDS:
            clips += self._next()
        return clips / (time.perf_counter() - started)

    def _next(self) -> int:
        """Clips of the next batch that has any; InputError where none comes."""
        for _ in range(MOST_EMPTY):
            if clips := next(self.stream):
                return clips
        raise InputError(f"no clip in {MOST_EMPTY} batches: the videos cannot be read this way")


# A stream gives the number of clips that it has just got; with it comes how many clips it may have read ahead.


def decoding(subject: DataSubject) -> tuple[Iterator[int], int]:
    """The limit: open, seek to the key frame, decode to the last frame of the clip, give its frames as RGB."""
    decode = DECODE[subject.how.removeprefix("decode ")]
    return (decode(video, indices) for video, indices in needed(subject)), 0


def needed(subject: DataSubject) -> Iterator[tuple[str, np.ndarray]]:
    """Videos in random order and the frames of a random clip; the frames are counted before anything is measured."""
    from video_rs.video import open_video

    clip, spans = published_clips(subject.frames), {}
    for video in subject.videos:
        with open_video(video) as reader:
            spans[video] = whole_video(reader.num_frames, reader.fps, reader.times)

    def draw() -> Iterator[tuple[str, np.ndarray]]:
        generator = torch.Generator().manual_seed(0)
        while True:
            for i in torch.randperm(len(subject.videos), generator=generator).tolist():
                video = subject.videos[i]
                yield video, clip.random(spans[video], generator).numpy()

    return draw()


def decode_pyav(video: str, indices: np.ndarray) -> int:
    """Every frame from the key frame on is decoded."""
    from video_rs.video.container import open_container, video_streams

    first, wanted, kept = int(indices.min()), set(indices.tolist()), []
    with open_container(video) as container:
        stream = video_streams(container, video)[0]
        stream.codec_context.thread_count = 1
        rate, base, start = stream.average_rate, stream.time_base, stream.start_time or 0
        container.seek(start + int(first / rate / base), stream=stream)
        for frame in container.decode(stream):
            index = round((frame.pts - start) * base * rate)
            if index in wanted:
                kept.append(frame.to_ndarray(format="rgb24"))
            if index >= max(wanted):
                break
    np.stack(kept)
    return 1


def decode_torchcodec(video: str, indices: np.ndarray) -> int:
    """Without a scan: times are reckoned from the rate."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(video, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
    decoder.get_frames_at(indices.tolist())
    return 1


def decode_decord(video: str, indices: np.ndarray) -> int:
    """As decord's users write it."""
    import decord

    decord.VideoReader(video, num_threads=1).get_batch(indices.tolist()).asnumpy()
    return 1


DECODE = {"pyav": decode_pyav, "torchcodec": decode_torchcodec, "decord": decode_decord}


def ours(subject: DataSubject) -> tuple[Iterator[int], int]:
    """Our training clips through one worker process, or one of torch's, or a thread."""
    loader = loader_of(subject)
    if subject.how == "ours, DataLoader":
        return through_dataloader(loader), 4 * BATCH
    if subject.how == "ours, threads":
        return through_threads(loader), 16 * BATCH  # each of its stages has a queue
    return (len(batch.labels) for batch in loader), 4 * BATCH


def loader_of(subject: DataSubject, batch: int = BATCH, workers: int = 1) -> ClipLoader:
    """As training builds it."""
    decoder = subject.how.removeprefix("ours ") if " " in subject.how and "," not in subject.how else "auto"
    clips = int(subject.how.split()[1]) if "clips a video" in subject.how else 1
    records = [VideoRecord(video, (0,), None, None, video) for video in subject.videos]
    clip, source = published_clips(subject.frames), VideoSource(decoder, subject.cache)
    read = ClipReader(clip, published_transform(subject.size), source, 0, clips)
    order = ClipOrder(
        partial(permutation, seed=0, num_samples=len(records)), len(records), batch, 1, Partition(), 0, _EPOCHS, clips
    )
    return ClipLoader(records, read, order, Workers(workers))


class Samples(torch.utils.data.Dataset):
    """What torch's DataLoader takes."""

    def __init__(self, loader: ClipLoader):
        self.records, self.read = loader.records, loader.read

    def __getitem__(self, key: tuple[int, int]) -> ClipSample:
        [sample] = self.read(self.records[key[1]], *key)
        return sample


def through_dataloader(loader: ClipLoader) -> Iterator[int]:
    """One worker process of torch's DataLoader."""
    batches = torch.utils.data.DataLoader(
        Samples(loader), batch_sampler=loader.order, num_workers=1, prefetch_factor=2, collate_fn=_clips
    )
    return (len(clips) for clips in batches)


def _clips(samples: list[ClipSample]) -> Tensor:
    return torch.stack([sample.clip for sample in samples])


def through_threads(loader: ClipLoader) -> Iterator[int]:
    """One reading thread of the spdl library, which like a worker process has one core for its operators."""
    from spdl.pipeline import PipelineBuilder

    torch.set_num_threads(1)
    samples = Samples(loader)
    keys = (key for batch in loader.order for key in batch)
    pipeline = PipelineBuilder().add_source(keys).pipe(samples.__getitem__, concurrency=1).aggregate(BATCH)
    pipeline = pipeline.pipe(_clips).add_sink(2).build(num_threads=1)
    with pipeline.auto_stop():
        for clips in pipeline:
            yield len(clips)


def pytorchvideo(subject: DataSubject) -> tuple[Iterator[int], int]:
    """Its dataset through one worker process."""
    batches, ahead = pytorchvideo_batches(subject, BATCH, 1)
    return (len(batch["video"]) for batch in batches), ahead * BATCH


def pytorchvideo_batches(subject: DataSubject, batch: int, workers: int) -> tuple[Iterator[dict[str, Any]], int]:
    """Batches of its dataset with the same crop, resize and flip in torchvision's transforms, and how many of them are
    read ahead.
    """
    from pytorchvideo.data import LabeledVideoDataset, RandomClipSampler

    seconds = subject.frames * SAMPLING_RATE / rate_of(subject.videos[0])
    dataset = LabeledVideoDataset(
        [(video, {"label": 0}) for video in subject.videos] * 1000,
        RandomClipSampler(seconds),
        transform=PeerTransform(subject.frames, subject.size),
        decode_audio=False,
        decoder=subject.how.removeprefix("pytorchvideo "),
    )
    ahead = 2
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch, num_workers=workers, prefetch_factor=ahead)
    return iter(loader), ahead * workers


class PeerTransform:
    """Even frames of ``clip["video"]``, float ``[3, T, H, W]``, then the training crop of torchvision."""

    def __init__(self, frames: int, size: int):
        from torchvision.transforms import v2

        crop = v2.RandomResizedCrop(size, (0.08, 1.0), (0.5, 2.0), antialias=False)
        self.frames, self.crop = frames, v2.Compose([crop, v2.RandomHorizontalFlip()])

    def __call__(self, clip: dict[str, Any]) -> dict[str, Any]:
        video = clip["video"]
        chosen = video[:, torch.linspace(0, video.shape[1] - 1, self.frames).long()]
        return {"video": self.crop(chosen.transpose(0, 1)).transpose(0, 1), "label": clip["label"]}


def rate_of(video: str) -> float:
    """Frames per second."""
    from video_rs.video import open_video

    with open_video(video) as reader:
        return reader.fps


def plain(subject: DataSubject) -> tuple[Iterator[int], int]:
    """What a first script does: decode the file from its start, keep the frames, transform them with torchvision."""
    transform = PeerTransform(subject.frames, subject.size)
    return (plain_clip(video, indices, transform) for video, indices in needed(subject)), 0


def plain_clip(video: str, indices: np.ndarray, transform: PeerTransform) -> int:
    """One clip of it."""
    from video_rs.video.container import open_container

    with open_container(video) as container:
        frames = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        kept = dict(enumerate(itertools.islice(frames, int(indices.max()) + 1)))
    clip = torch.from_numpy(np.stack([kept[i] for i in indices.tolist()])).permute(3, 0, 1, 2)
    transform({"video": clip.float(), "label": 0})
    return 1


STREAMS = {"decode": decoding, "ours": ours, "pytorchvideo": pytorchvideo, "plain": plain}
