"""How peers read clips: pytorchvideo's dataset, and the loop of a first script."""

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from video_rs.benchmarks.published import SAMPLING_RATE
from video_rs.benchmarks.subject import Subject
from video_rs.video import open_video
from video_rs.video.container import open_container


def pytorchvideo_batches(subject: Subject, batch: int, workers: int) -> tuple[Iterator[dict[str, Any]], int]:
    """Return batches of pytorchvideo's dataset, and how many of them are read ahead.

    Crop, resize and flip are the same, in torchvision's transforms.
    """
    from pytorchvideo.data import LabeledVideoDataset, RandomClipSampler

    seconds = subject.frames * SAMPLING_RATE / frames_per_second(subject.videos[0])
    dataset = LabeledVideoDataset(
        # Often enough that nobody reads to the end.
        [(video, {"label": 0}) for video in subject.videos] * 1000,
        RandomClipSampler(seconds),
        transform=PeerTransform(subject.frames, subject.size),
        decode_audio=False,
        decoder=subject.decoder,
    )
    ahead = 2
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch, num_workers=workers, prefetch_factor=ahead)
    return iter(loader), ahead * workers


class PeerTransform:
    """Even frames of ``clip["video"]``, float ``[3, T, H, W]``, then the training crop of torchvision."""

    def __init__(self, frames: int, size: int):
        from torchvision.transforms import v2

        self.frames = frames
        crop = v2.RandomResizedCrop(size, (0.08, 1.0), (0.5, 2.0), antialias=False)
        self.crop = v2.Compose([crop, v2.RandomHorizontalFlip()])

    def __call__(self, clip: dict[str, Any]) -> dict[str, Any]:
        video = clip["video"]
        even = torch.linspace(0, video.shape[1] - 1, self.frames).long()
        chosen = video[:, even].transpose(0, 1)
        return {"video": self.crop(chosen).transpose(0, 1), "label": clip["label"]}


def frames_per_second(video: str) -> float:
    """Return the rate of a video."""
    with open_video(video) as reader:
        return reader.fps


def read_from_start(video: str, indices: np.ndarray, transform: PeerTransform) -> None:
    """Read a clip as a first script does: decode from the start, keep the frames, transform them with torchvision."""
    with open_container(video) as container:
        frames = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        kept = dict(enumerate(itertools.islice(frames, int(indices.max()) + 1)))
    clip = torch.from_numpy(np.stack([kept[index] for index in indices.tolist()])).permute(3, 0, 1, 2)
    transform({"video": clip.float(), "label": 0})
