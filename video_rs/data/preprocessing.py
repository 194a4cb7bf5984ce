"""All that lies between a video file and the network's input, as plain data that a checkpoint carries."""

import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from video_rs.data.arguments import require
from video_rs.data.eval_transform import EvalTransform
from video_rs.data.normalisation import to_float
from video_rs.data.sampling import (
    clip_at,
    even_clip_at,
    pytorchvideo_clips,
    random_clip,
    random_pair,
    uniform_clips,
)
from video_rs.runtime.errors import InputError
from video_rs.video.segments import Span

VIEWS = ("published", "full", "dense", "adaptive")


@dataclass(frozen=True)
class ClipSpec:
    """Which frames make a clip.

    Attributes:
        num_frames: frames of a clip.
        sampling_rate: stride between them, in frames.
        short_video: "wrap" or "repeat", for a video shorter than its clip.
        clip_sampler: "frames" (exact offsets) or "pytorchvideo" (its samplers, by time).
        target_fps: frames per second that the stride counts in, whatever the video's own rate: a clip then spans the
            same seconds of every video. 0: the stride counts the video's own frames.
        start_multiple: random clips begin at frames of the video whose numbers are multiples of this; by frame number
            alone.
    """

    num_frames: int
    sampling_rate: int
    short_video: str
    clip_sampler: str
    target_fps: float = 0.0
    start_multiple: int = 1

    def __post_init__(self):
        by_time = self.target_fps > 0 or self.clip_sampler == "pytorchvideo"
        assert self.start_multiple == 1 or not by_time, "the builder refuses this"

    def random(self, span: Span, generator: torch.Generator) -> Tensor:
        """Return the frames int64 ``[T]`` of a random clip of ``span``, as numbers in its video."""
        count, fps = self._counted(span)
        offsets = self._from_multiple(self._random_offsets(count, fps, generator), span)
        (frames,) = self._shown_at_random(span, [offsets], generator)
        return frames

    def random_twice(self, span: Span, second_frames: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return a random clip of ``span`` in two numbers of frames, both spread over the same time.

        Args:
            span: of the video.
            second_frames: t.
            generator: is used as in :meth:`random`.

        Returns:
            The clip that :meth:`random` gives, int64 ``[T]``, and the same time in other frames, int64 ``[t]``.
        """
        count, fps = self._counted(span)
        state = generator.get_state()
        offsets = self._from_multiple(self._random_offsets(count, fps, generator), span)
        if self.clip_sampler == "pytorchvideo":
            # The interval is a function of the generator's state, whatever the number of frames in it.
            again = torch.Generator()
            again.set_state(state)
            second = self._random_interval(second_frames, count, fps, again)
        else:
            second = self._same_time(offsets, second_frames, count)

        first, second = self._shown_at_random(span, [offsets, second], generator)
        return first, second

    def random_pair(self, span: Span, power: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return two random clips of ``span`` by frame number, int64 ``[T]`` each; see the function of this name."""
        count, _ = self._counted(span)
        clips = random_pair(count, self.num_frames, self.sampling_rate, generator, self.short_video, power)
        clips = [self._from_multiple(clip, span) for clip in clips]
        first, second = self._shown_at_random(span, clips, generator)
        return first, second

    def uniform(self, span: Span, num_clips: int) -> Tensor:
        """Return the frames int64 ``[K, T]`` of ``num_clips`` clips spread over ``span``, as numbers in its video."""
        if not self.target_fps:
            return span.first + self._uniform_offsets(span.count, span.fps, num_clips)

        ticks = self._uniform_offsets(span.frames_at(self.target_fps), self.target_fps, num_clips)
        # In the middle of a tick, where a rounded time or a rate of 29.97 for 30 changes no frame.
        return span.on_screen((ticks + 0.5) / self.target_fps)

    def throughout(self, span: Span) -> Tensor:
        """Return every frame of ``span`` that is a stride after the one before, as numbers in its video.

        Returns:
            int64 ``[N]`` from the first frame on; of a span that is shorter than a clip, the clip in its middle.
        """
        count, _ = self._counted(span)
        places = torch.arange(0, count, self.sampling_rate)
        if len(places) < self.num_frames:
            return self.uniform(span, 1)[0]
        if not self.target_fps:
            return span.first + places
        return span.on_screen((places + 0.5) / self.target_fps)

    def starting_at(self, span: Span, seconds: float) -> Tensor:
        """Return the frames int64 ``[T]`` of the clip that begins ``seconds`` after the first frame of ``span``.

        A clip that would run past the end of ``span`` begins earlier, as far as there are frames.
        """
        if not self.target_fps:
            return span.first + self._offsets_at(seconds, span.count, span.fps)

        ticks = self._offsets_at(seconds, span.frames_at(self.target_fps), self.target_fps)
        return span.on_screen((ticks + 0.5) / self.target_fps)

    def seconds(self, fps: float) -> float:
        """Return how long a clip lasts in a video of ``fps`` frames per second."""
        return self._clip_seconds(self.target_fps or fps)

    def _offsets_at(self, seconds: float, num_frames: int, fps: float) -> Tensor:
        """Return the clip int64 ``[T]`` that begins at a time of a video with so many frames."""
        if self.clip_sampler != "pytorchvideo":
            return clip_at(seconds, num_frames, fps, self.num_frames, self.sampling_rate, self.short_video)
        interval = self._clip_seconds(fps)
        return even_clip_at(seconds, interval, num_frames, fps, self.num_frames, self.short_video)

    def _counted(self, span: Span) -> tuple[int, float]:
        """Return how many frames there are to choose from, and how many a second: the video's own, or ticks."""
        if not self.target_fps:
            return span.count, span.fps
        return span.frames_at(self.target_fps), self.target_fps

    def _from_multiple(self, offsets: Tensor, span: Span) -> Tensor:
        """Return a clip, offsets int64 ``[T]``, that begins at the last multiple at or before where it was drawn.

        A multiple is then drawn as often as the frames from it up to the next, which are as many for all but the last.
        The clip goes forward where the multiple lies before the span. It stays where it is if there is no room for
        that, or if the span is shorter than a clip.
        """
        reach = (self.num_frames - 1) * self.sampling_rate
        if self.start_multiple == 1 or span.count <= reach:
            return offsets

        start = int(offsets[0])
        behind = (span.first + start) % self.start_multiple
        if behind <= start:
            return offsets - behind
        ahead = self.start_multiple - behind
        if start + ahead + reach < span.count:
            return offsets + ahead
        return offsets

    def _shown_at_random(self, span: Span, clips: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
        """Return the frames, int64, that clips of offsets show; of ticks they show those at one random phase."""
        if not self.target_fps:
            return [span.first + offsets.floor().long() for offsets in clips]

        # Anywhere inside a tick, so that every frame of a faster video is seen in training.
        phase = torch.rand((), dtype=torch.float64, generator=generator)
        return [span.on_screen((ticks + phase) / self.target_fps) for ticks in clips]

    def _random_offsets(self, num_frames: int, fps: float, generator: torch.Generator) -> Tensor:
        """Return a random clip int64 ``[T]`` of a video with so many frames."""
        if self.clip_sampler != "pytorchvideo":
            return random_clip(num_frames, self.num_frames, self.sampling_rate, generator, self.short_video)
        return self._random_interval(self.num_frames, num_frames, fps, generator)

    def _random_interval(self, clip_frames: int, num_frames: int, fps: float, generator: torch.Generator) -> Tensor:
        """Return ``clip_frames`` frames of a random interval, as pytorchvideo takes them, int64."""
        from pytorchvideo.data.clip_sampling import RandomClipSampler

        sampler = RandomClipSampler(self._clip_seconds(fps))
        return pytorchvideo_clips(sampler, num_frames, fps, clip_frames, generator, self.short_video)[0]

    def _same_time(self, clip: Tensor, clip_frames: int, num_frames: int) -> Tensor:
        """Return other frames over the time of a clip int64 ``[T]``, as offsets float64 ``[clip_frames]``.

        Frame k of t begins after ``k / t`` of the clip's ``T * stride`` frames. A place behind the end of the video,
        which the clip itself does not reach, is the last frame.
        """
        start = int(clip[0])
        length = self.num_frames * self.sampling_rate
        places = start + torch.arange(clip_frames, dtype=torch.float64) * length / clip_frames

        last = start + (self.num_frames - 1) * self.sampling_rate
        places = places.clamp(max=max(last, num_frames - 1))
        # What a clip does that is longer than its video, the other frames do, too.
        if self.short_video == "wrap":
            return places % num_frames
        return places.clamp(max=num_frames - 1)

    def _uniform_offsets(self, num_frames: int, fps: float, num_clips: int) -> Tensor:
        """Return clips int64 ``[K, T]`` spread over a video with so many frames."""
        if self.clip_sampler != "pytorchvideo":
            return uniform_clips(num_frames, self.num_frames, self.sampling_rate, num_clips, self.short_video)

        from pytorchvideo.data.clip_sampling import ConstantClipsPerVideoSampler

        sampler = ConstantClipsPerVideoSampler(self._clip_seconds(fps), num_clips)
        unused = torch.Generator().manual_seed(0)  # this sampler draws nothing
        return pytorchvideo_clips(sampler, num_frames, fps, self.num_frames, unused, self.short_video)

    def _clip_seconds(self, fps: float) -> float:
        return self.num_frames * self.sampling_rate / fps


@dataclass(frozen=True)
class Preprocessing:
    """Clips, resizing, crops and normalisation of testing and prediction.

    Attributes:
        clip: which frames.
        num_clips: clips per video.
        transform: resizing and crops.
        mean, std: per channel, after scaling to [0, 1].
        views: "published": ``num_clips`` clips in each crop; "full": the clips as whole frames; "dense": one pass over
            the whole video; "adaptive": clips and crops until an answer is decided.
    """

    clip: ClipSpec
    num_clips: int
    transform: EvalTransform
    mean: tuple[float, ...]
    std: tuple[float, ...]
    views: str = "published"

    def __post_init__(self):
        require(self.views in VIEWS, "views", self.views, ", ".join(VIEWS))

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain data, which a checkpoint can carry."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Preprocessing":
        """Return what :meth:`to_dict` was called on.

        Raises:
            InputError: the data are of something else.
        """
        try:
            clip = ClipSpec(**data["clip"])
            transform = EvalTransform(**data["transform"])
            # JSON has lists in the place of tuples.
            mean = tuple(map(float, data["mean"]))
            std = tuple(map(float, data["std"]))
            num_clips = operator.index(data["num_clips"])
            # Checkpoints had none before there was a choice.
            return cls(clip, num_clips, transform, mean, std, data.get("views", "published"))
        except InputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the preprocessing that is stored with the network cannot be read ({error!r}); take another "
                "checkpoint, or export it anew"
            ) from error

    def published_views(self) -> "Preprocessing":
        """Return the same with clips and crops, for what is about them: features, pictures, pseudo-labels."""
        return replace(self, views="published")

    def single_view(self) -> "Preprocessing":
        """Return the same with one centre clip and one centre crop, as for validation during training."""
        return replace(self, num_clips=1, transform=replace(self.transform, num_crops=1), views="published")

    def clip_shape(self, batch: int) -> tuple[int, int, int, int, int]:
        """Return the shape (B, 3, T, crop, crop) of ``batch`` views, as the network gets them."""
        size = self.transform.crop_size
        return batch, 3, self.clip.num_frames, size, size

    def prepare(self, clips: Tensor, device: torch.device) -> Tensor:
        """Bring clips to a device and normalise them.

        Args:
            clips: uint8 ``[B, 3, T, h, w]`` on the CPU.
            device: of the network.

        Returns:
            float32 of the same shape, channels-last.
        """
        clips = clips.to(device, non_blocking=True)
        return to_float(clips, self.mean, self.std, memory_format=torch.channels_last_3d)
