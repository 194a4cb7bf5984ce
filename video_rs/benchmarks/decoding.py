"""Decoding alone, the limit of reading: open, seek to the key frame, decode to the end of the clip, give RGB frames.

Each decoder is used as its users write it, in one thread, and without what training needs beside the frames.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch

from video_rs.benchmarks.published import published_clips
from video_rs.benchmarks.subject import Subject
from video_rs.video import open_video
from video_rs.video.container import open_container, video_streams
from video_rs.video.segments import whole_video


def needed_frames(subject: Subject) -> Iterator[tuple[str, np.ndarray]]:
    """Return videos in random order without end, each with the frames of a random clip, int64 ``[T]``."""
    # Frames are counted here, before anything is measured, and not when the iterator is first asked.
    spans = {}
    for video in subject.videos:
        with open_video(video) as reader:
            spans[video] = whole_video(reader.num_frames, reader.fps, reader.times)
    clip = published_clips(subject.frames, subject.start_multiple)

    def draw() -> Iterator[tuple[str, np.ndarray]]:
        generator = torch.Generator().manual_seed(0)
        while True:
            for number in torch.randperm(len(subject.videos), generator=generator).tolist():
                video = subject.videos[number]
                yield video, clip.random(spans[video], generator).numpy()

    return draw()


def decode_pyav(video: str, indices: np.ndarray) -> None:
    """Decode every frame from the key frame on, with PyAV."""
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


def decode_torchcodec(video: str, indices: np.ndarray) -> None:
    """Decode with TorchCodec, without a scan: times are reckoned from the rate."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(video, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
    decoder.get_frames_at(indices.tolist())


def decode_decord(video: str, indices: np.ndarray) -> None:
    """Decode with decord."""
    import decord

    decord.VideoReader(video, num_threads=1).get_batch(indices.tolist()).asnumpy()


DECODE: dict[str, Callable[[str, np.ndarray], None]] = {
    "pyav": decode_pyav,
    "torchcodec": decode_torchcodec,
    "decord": decode_decord,
}
