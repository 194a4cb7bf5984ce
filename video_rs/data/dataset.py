"""From a record to pixels: one training clip, or all test views of a video from one pass over its file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from video_rs.data.eval_transform import EvalTransform
from video_rs.data.preprocessing import ClipSpec, Preprocessing
from video_rs.data.resized_frames import resized_frames
from video_rs.data.train_transform import TrainTransform
from video_rs.data.whole_video import WholeVideo
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.video import Box, DecodeError, VideoReader, open_video, reader_class
from video_rs.video.fetching import register_handlers
from video_rs.video.probing.cache import cached_index
from video_rs.video.segments import Span, segment_span


@dataclass(frozen=True)
class ClipSample:
    """One slot of a training batch.

    Attributes:
        clip: uint8 ``[3, T, h, w]``, or None where the video could not be read.
        labels: classes of the video.
        video: path.
        error: why the video could not be read, or None.
        counted: the whole video was decoded to count its frames (:class:`VideoReader`).
        second_clip: uint8 ``[3, t, s, s]``, the same part of the video in another form
            (:mod:`video_rs.data.second_view`); None without such a form.
    """

    clip: Tensor | None
    labels: tuple[int, ...]
    video: str
    error: str | None = None
    counted: bool = False
    second_clip: Tensor | None = None


@dataclass(frozen=True)
class VideoViews:
    """All views of one video: its resized frames once, and which of them make each clip.

    Attributes:
        index, id: the record's position in its list, and its id.
        video: path.
        labels: classes; none where they are not known.
        frames: uint8 ``[3, N, h, w]``, or None where the video could not be read.
        clips: int64 ``[K, T]`` into the N frames.
        transform: makes the crops.
        whole_frames: whether the whole frames are the only crop.
        error: why the video could not be read, or None.
        counted: the whole video was decoded to count its frames.
    """

    index: int
    id: str
    video: str
    labels: tuple[int, ...]
    frames: Tensor | None = None
    clips: Tensor | None = None
    transform: EvalTransform | None = None
    whole_frames: bool = False
    error: str | None = None
    counted: bool = False

    @property
    def counted_videos(self) -> list[str]:
        """The path of this video if its frames were counted, else nothing."""
        if self.counted:
            return [self.video]
        return []

    @property
    def num_views(self) -> int:
        """How many views there are; 0 of a video that could not be read."""
        if self.error is not None:
            return 0
        return len(self.clips) * len(self._crops())

    @property
    def view_size(self) -> tuple[int, int]:
        """Height and width of the views: videos of one size may share a forward pass."""
        height, width = self._crops()[0].shape[2:]
        return height, width

    def views(self, batch: int) -> Iterator[Tensor]:
        """Yield batches of at most ``batch`` views, uint8 ``[b, 3, T, crop, crop]``, crop-major as published."""
        yield from self.some_views(range(self.num_views), batch)

    def some_views(self, places: Sequence[int], batch: int) -> Iterator[Tensor]:
        """Yield the views at some places of that order, in batches as :meth:`views` does."""
        clips = self.clips.tolist()
        pairs = [(crop, clip) for crop in self._crops() for clip in clips]
        for start in range(0, len(places), batch):
            yield _copied_views([pairs[place] for place in places[start : start + batch]])

    def _crops(self) -> list[Tensor]:
        """Return the crops of all frames, uint8 ``[3, N, h, w]`` each, without copying them."""
        if self.whole_frames:
            return [self.transform.whole(self.frames)]
        return self.transform.crops(self.frames)


@dataclass(frozen=True)
class VideoSource:
    """How videos are opened, in whichever process.

    Attributes:
        decoder: name for :func:`open_video`.
        cache: file of probes (:mod:`video_rs.video.probing.cache`), whose files need no scan; empty: none.
        path_handlers: iopath handlers, ``module:Class``, that fetch URLs.
    """

    decoder: str = "auto"
    cache: str = ""
    path_handlers: tuple[str, ...] = ()

    def __post_init__(self):
        reader_class(self.decoder)  # a decoder that is not installed is refused here, not by each video

    @property
    def needs_gpu(self) -> bool:
        """Whether a GPU decodes the videos."""
        return self.decoder == "torchcodec_cuda"

    def open(self, path: str) -> VideoReader:
        """Return an open reader; errors are those of :func:`open_video`."""
        # A spawned worker knows none of the handlers of its parent.
        register_handlers(self.path_handlers)
        return open_video(path, self.decoder, cached_index(self.cache, path))


@dataclass(frozen=True)
class ClipReader:
    """From a record to training clips. A clip is a function of (seed, epoch, pick) alone, whichever process reads it.

    Attributes:
        clip: which frames.
        transform: uint8 ``[T, H, W, 3]`` and a generator -> uint8 ``[3, T, h, w]``.
        source: opens the videos.
        seed: of all draws.
        clips: clips of one video, drawn one after the other, their frames decoded together ("repeated augmentation":
            Hoffer et al. 2020, "Augment your batch").
    """

    clip: ClipSpec
    transform: TrainTransform
    source: VideoSource
    seed: int
    clips: int = 1

    def __call__(self, record: VideoRecord, epoch: int, pick: int) -> list[ClipSample]:
        """Return ``clips`` samples. A video that cannot be read gives empty slots, never another video."""
        generator = sample_generator(self.seed, epoch, pick)
        try:
            with self.source.open(record.path) as reader:
                span = record_span(reader, record)
                wanted = self.draw(span, generator)
                if len(wanted) == 1:
                    clips = [self._one(reader, wanted[0], generator)]
                else:
                    clips = self._several(reader, wanted, generator)
        except DecodeError as error:
            return self.failed(record, error.reason)

        return [ClipSample(clip, record.labels, record.path, counted=reader.counted) for clip in clips]

    def _one(self, reader: VideoReader, wanted: Tensor, generator: torch.Generator) -> Tensor:
        """Return the clip of the frames int64 ``[T]``, of which only what it shows is read."""
        placement = self.transform.draw(reader.height, reader.width, generator)
        box = Box(*placement.needed(reader.height, reader.width))

        needed, places = wanted.unique(return_inverse=True)
        frames = select_frames(reader.boxes(needed, box), places)
        return self.transform.make(frames, placement.within_needed(), generator)

    def _several(self, reader: VideoReader, wanted: Sequence[Tensor], generator: torch.Generator) -> list[Tensor]:
        """Return the clips of the frames int64 ``[T]`` each; a frame that several of them show is decoded once."""
        needed, places = torch.stack(wanted).unique(return_inverse=True)
        frames = reader.frames(needed)
        return [self.transform(select_frames(frames, place), generator) for place in places]

    def draw(self, span: Span, generator: torch.Generator) -> list[Tensor]:
        """Return which frames make each of the clips, int64 ``[T]``."""
        return [self.clip.random(span, generator) for _ in range(self.clips)]

    def failed(self, record: VideoRecord, reason: str) -> list[ClipSample]:
        """Return as many empty slots as the video would have filled."""
        return [ClipSample(None, record.labels, record.path, reason)] * self.clips


@dataclass(frozen=True)
class ViewReader:
    """From a record to all its test views, decoded once; or to the whole video, where one pass answers for it.

    Attributes:
        preprocessing: as stored in the checkpoint.
        source: opens the videos.
    """

    preprocessing: Preprocessing
    source: VideoSource

    def __call__(self, record: VideoRecord, index: int) -> VideoViews | WholeVideo:
        """Return the views of ``record``, which is at ``index`` of its list, or its error; labels may be missing."""
        try:
            with self.source.open(record.path) as reader:
                if self.preprocessing.views == "dense":
                    return self._whole(reader, record, index)
                frames, clips = read_views(reader, self.preprocessing, record)
        except DecodeError as error:
            return self.failed(record, index, error.reason)

        return VideoViews(
            index,
            record.id,
            record.path,
            record.labels,
            frames=frames,
            clips=clips,
            transform=self.preprocessing.transform,
            whole_frames=self.preprocessing.views == "full",
            counted=reader.counted,
        )

    def _whole(self, reader: VideoReader, record: VideoRecord, index: int) -> WholeVideo:
        """Return a whole video: with its frames, or where they are too many, with what reads them part by part."""
        numbers = self.preprocessing.clip.throughout(record_span(reader, record))
        transform = self.preprocessing.transform
        about = (index, record.id, record.path, record.labels)
        return WholeVideo(*about, numbers, transform, self.source.open, reader.counted).with_frames(reader)

    def failed(self, record: VideoRecord, index: int, reason: str) -> VideoViews:
        """Return what stands for a video that could not be read."""
        return VideoViews(index, record.id, record.path, record.labels, error=reason)


def record_span(reader: VideoReader, record: VideoRecord) -> Span:
    """Return the frames of a record's segment.

    Raises:
        DecodeError: the video has none of them.
    """
    try:
        return segment_span(reader.num_frames, reader.fps, record.start, record.end, reader.times)
    except InputError as error:
        raise DecodeError(record.path, str(error)) from error


def read_views(reader: VideoReader, preprocessing: Preprocessing, record: VideoRecord) -> tuple[Tensor, Tensor]:
    """Decode every frame that some view needs once and in order, and resize it.

    Returns:
        The frames, uint8 ``[3, N, h, w]``, and the clips as positions among them, int64 ``[K, T]``.
    """
    clips = preprocessing.clip.uniform(record_span(reader, record), preprocessing.num_clips)
    # In order and each frame once: views overlap, and decoding back and forth would be slow.
    needed = clips.unique()
    frames = resized_frames(reader, needed, preprocessing.transform)
    return frames, torch.searchsorted(needed, clips)


def sample_generator(seed: int, epoch: int, pick: int) -> torch.Generator:
    """Return a generator whose stream is a function of these three numbers."""
    # A large odd multiplier per part keeps nearby triples apart. torch's CPU generator uses 32 bits of the seed, so two
    # samples of a long run may share a stream by chance; they see different videos, which does no harm.
    mixed = seed * 0x9E3779B97F4A7C15 + epoch * 0xC2B2AE3D27D4EB4F + pick * 0x165667B19E3779F9
    return torch.Generator().manual_seed(mixed % 2**63)


def _copied_views(pairs: Sequence[tuple[Tensor, Sequence[int]]]) -> Tensor:
    """Return a batch of views, uint8 ``[b, 3, T, crop, crop]``.

    Args:
        pairs: of each view its crop of all frames, uint8 ``[3, N, crop, crop]``, and which of the N frames it shows.
    """
    crop, clip = pairs[0]
    channels, _, height, width = crop.shape
    views = crop.new_empty((len(pairs), channels, len(clip), height, width))

    # Whole rows, straight to their place: five times as fast as indexing all frames of a view and stacking the views.
    for view, (crop, clip) in zip(views, pairs, strict=True):
        for place, frame in enumerate(clip):
            view[:, place] = crop[:, frame]
    return views


def select_frames(frames: Tensor, places: Tensor) -> Tensor:
    """Return ``frames[places]``, without a copy where that is all frames in their order, as in most clips."""
    if torch.equal(places, torch.arange(len(frames))):
        return frames
    return frames[places]
