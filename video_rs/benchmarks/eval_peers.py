"""Testing by many views with pytorchvideo: its data set, its sampler of evenly spread clips, three crops, its network.

What ``pytorchvideo.transforms`` would do is written out here, since it cannot be imported beside a current torchvision.
"""

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from video_rs.benchmarks.data_peers import frames_per_second
from video_rs.benchmarks.eval_ways import ENDLESS, Pipeline
from video_rs.benchmarks.network_calls import autocast, network_on_device
from video_rs.benchmarks.published import SAMPLING_RATE
from video_rs.benchmarks.stopwatch import Stopwatch
from video_rs.benchmarks.subject import Subject

# What pytorchvideo's tutorials normalise by.
MEAN = (0.45, 0.45, 0.45)
STD = (0.225, 0.225, 0.225)
# Batches that DataLoader reads ahead for each of its workers.
PREFETCHED = 2


class ViewTransform:
    """Even frames of ``clip["video"]``, normalised and resized, and of them the crop ``clip["aug_index"]``.

    Args:
        frames: of a view.
        size: of its sides, in pixels; the short side of the frames becomes as long.
        crops: of a clip: 1 is the centre; 3 are start, middle and end of the longer side.
    """

    def __init__(self, frames: int, size: int, crops: int):
        self.frames = frames
        self.size = size
        self.crops = crops

    def __call__(self, clip: dict[str, Any]) -> dict[str, Any]:
        """Return ``video``, float32 ``[3, frames, size, size]``, and ``label``, of a video float ``[3, T, H, W]``."""
        video = clip["video"]
        even = torch.linspace(0, video.shape[1] - 1, self.frames).long()
        video = video[:, even] / 255

        video = (video - torch.tensor(MEAN).view(3, 1, 1, 1)) / torch.tensor(STD).view(3, 1, 1, 1)

        height, width = video.shape[2:]
        if height < width:
            shape = (self.size, math.floor(width / height * self.size))
        else:
            shape = (math.floor(height / width * self.size), self.size)
        video = interpolate(video, size=shape, mode="bilinear", align_corners=False)
        return {"video": self._crop(video, clip["aug_index"]), "label": clip["label"]}

    def _crop(self, video: Tensor, number: int) -> Tensor:
        """Return the crop of that number, of start, middle and end; the middle where there is one only."""
        height, width = video.shape[2:]

        # Top and left of the middle.
        places = [math.ceil((height - self.size) / 2), math.ceil((width - self.size) / 2)]
        if self.crops == 3 and number != 1:
            longer = 0 if height > width else 1
            places[longer] = 0 if number == 0 else video.shape[2 + longer] - self.size

        top, left = places
        return video[:, :, top : top + self.size, left : left + self.size]


def clip_sampler(subject: Subject, crops: int) -> Any:
    """Return pytorchvideo's sampler of as many clips as ours, evenly spread; each clip comes ``crops`` times."""
    from pytorchvideo.data.clip_sampling import ConstantClipsPerVideoSampler

    # A fraction: rounded seconds would lose or add a frame at the ends of clips.
    seconds = Fraction(subject.frames * SAMPLING_RATE) / Fraction(frames_per_second(subject.videos[0]))
    return ConstantClipsPerVideoSampler(seconds, subject.clips_per_video, crops)


def pytorchvideo_batches(subject: Subject) -> Iterator[dict[str, Any]]:
    """Return batches of views of pytorchvideo's dataset, which decodes each clip once for its crops."""
    from pytorchvideo.data import LabeledVideoDataset

    videos = itertools.islice(itertools.cycle(subject.videos), ENDLESS)
    dataset = LabeledVideoDataset(
        [(video, {"label": 0}) for video in videos],
        clip_sampler(subject, subject.crops),
        video_sampler=torch.utils.data.SequentialSampler,
        transform=ViewTransform(subject.frames, subject.size, subject.crops),
        decode_audio=False,
        decoder="pyav",
    )

    # DataLoader refuses the option without workers.
    prefetched = PREFETCHED if subject.workers else None
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=subject.batch, num_workers=subject.workers, prefetch_factor=prefetched
    )
    return iter(loader)


def pytorchvideo_testing(subject: Subject, waiting: Stopwatch, computing: Stopwatch) -> Pipeline:
    """Return testing as pytorchvideo's users write it: its dataset, torch's DataLoader, the network as shipped."""
    batches = pytorchvideo_batches(subject)
    network = network_on_device(subject).eval()

    def scored() -> Iterator[int]:
        score = computing.timed(torch.inference_mode()(_scores))
        for batch in waiting.waits(batches):
            with autocast(subject):
                score(network, batch["video"].to(subject.device))
            yield len(batch["video"])

    return Pipeline(scored(), ahead=PREFETCHED * subject.workers * subject.batch)


def _scores(network: torch.nn.Module, views: Tensor) -> Tensor:
    """Return the probabilities of views."""
    return network(views).softmax(1)


def pytorchvideo_decoding(subject: Subject) -> Iterator[int]:
    """Decode the clips of a video by pytorchvideo's ``EncodedVideo``, opened once, each clip for all its crops."""
    from pytorchvideo.data.encoded_video import EncodedVideo

    sampler = clip_sampler(subject, crops=1)

    for path in itertools.islice(itertools.cycle(subject.videos), ENDLESS):
        video = EncodedVideo.from_path(path, decode_audio=False, decoder="pyav")
        pictures = 0
        is_last = False
        while not is_last:
            start, end, _, _, is_last = sampler(0, video.duration, {})
            pictures += video.get_clip(start, end)["video"].shape[1]

        video.close()
        yield pictures
