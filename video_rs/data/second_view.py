"""Two forms of one training clip from one decode: the same time, box and mirroring, in other frames and another size.

The first form is what :class:`video_rs.data.dataset.ClipReader` gives, bit for bit. The second one is without the
augmentations that change pixels: a teacher judges what is there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from video_rs.data.dataset import ClipReader, ClipSample, record_span, sample_generator, select_frames
from video_rs.lists.records import VideoRecord
from video_rs.video import DecodeError


@dataclass(frozen=True)
class SecondView:
    """The form of the second clip.

    Attributes:
        num_frames: t, spread over the time of the first clip.
        crop_size: height and width, in pixels.
        antialias: as of :class:`video_rs.data.train_transform.TrainTransform`.
    """

    num_frames: int
    crop_size: int
    antialias: bool

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape (3, t, s, s) of a clip."""
        return 3, self.num_frames, self.crop_size, self.crop_size


@dataclass(frozen=True, kw_only=True)
class TwoViewReader(ClipReader):
    """From a record to training clips in two forms each.

    Attributes:
        second: the form of the second clips; the other attributes are about the first.
    """

    second: SecondView

    def __call__(self, record: VideoRecord, epoch: int, pick: int) -> list[ClipSample]:
        """Return ``clips`` samples. A video that cannot be read gives empty slots, never another video."""
        generator = sample_generator(self.seed, epoch, pick)
        try:
            with self.source.open(record.path) as reader:
                span = record_span(reader, record)
                wanted = []
                for _ in range(self.clips):
                    wanted += self.clip.random_twice(span, self.second.num_frames, generator)

                # A frame that several clips, or both forms, show is decoded once.
                needed, places = torch.cat(wanted).unique(return_inverse=True)
                frames = reader.frames(needed)
        except DecodeError as error:
            return self.failed(record, error.reason)

        samples = []
        parts = iter(places.split([len(clip) for clip in wanted]))
        for first, second in zip(parts, parts, strict=True):
            clip, second_clip = self._both(frames, first, second, generator)
            sample = ClipSample(clip, record.labels, record.path, counted=reader.counted, second_clip=second_clip)
            samples.append(sample)
        return samples

    def _both(self, frames: Tensor, first: Tensor, second: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return both forms of a clip; ``first`` and ``second`` are places among the frames uint8 ``[N, H, W, 3]``."""
        placement = self.transform.draw(*frames.shape[1:3], generator)
        clip = self.transform.make(select_frames(frames, first), placement, generator)

        second_clip = placement.cut(select_frames(frames, second), self.second.crop_size, self.second.antialias)
        return clip, second_clip.contiguous()
