"""Which frames of a video make a clip: pure functions from numbers to ``int64`` frame indices, no pixels.

The published definitions are those of the Model Garden's 3D ResNet-RS (``official/vision/ops/preprocess_ops_3d.py``).
A clip is ``clip_frames`` frames, ``stride`` frames apart. ``short`` says what happens past a video's end:
``"wrap"`` (published) starts over, ``"repeat"`` keeps showing the last frame.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from video_rs.video.segments import check_fps, frame_at


def random_clip(
    num_frames: int, clip_frames: int, stride: int, generator: torch.Generator, short: str = "wrap"
) -> Tensor:
    """Return a training clip, int64 ``[T]``, whose start is drawn uniformly over all starts that fit.

    With ``reach = (T - 1) * stride``, the start is in ``[0, num_frames - reach)`` if ``num_frames > reach``. A shorter
    video starts anywhere in ``[0, num_frames)`` and wraps, or under ``"repeat"`` starts at 0.
    """
    starts = num_frames - (clip_frames - 1) * stride
    if starts <= 0 and short == "wrap":
        starts = num_frames
    elif starts <= 0:
        starts = 1

    start = torch.randint(starts, (), generator=generator)
    return _within(start + torch.arange(clip_frames) * stride, num_frames, short)


def random_pair(
    num_frames: int, clip_frames: int, stride: int, generator: torch.Generator, short: str = "wrap", power: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return two training clips of one video, int64 ``[T]`` each, the first of which does not begin later.

    Of the S starts that fit, as in :func:`random_clip`, the second clip's is d after the first one's. The distance d in
    [0, S) is drawn with probabilities that fall as ``1 - (d / S) ** power``, and the first start uniformly over those
    that are left. A power of 1 falls linearly (Qian et al. 2021, arXiv 2008.03800, section 3.2); larger ones fall late.

    In a video that is shorter than a clip, distances mean nothing: both clips are drawn as :func:`random_clip` does.
    """
    starts = num_frames - (clip_frames - 1) * stride
    if starts <= 0:
        first = random_clip(num_frames, clip_frames, stride, generator, short)
        second = random_clip(num_frames, clip_frames, stride, generator, short)
        return first, second

    distances = torch.arange(starts, dtype=torch.float64)
    up_to = (1 - (distances / starts) ** power).cumsum(0)
    drawn = torch.rand((), dtype=torch.float64, generator=generator) * up_to[-1]
    distance = int(torch.searchsorted(up_to, drawn, right=True).clamp(max=starts - 1))

    first = torch.randint(starts - distance, (), generator=generator) + torch.arange(clip_frames) * stride
    return first, first + distance


def center_clip(num_frames: int, clip_frames: int, stride: int, short: str = "wrap") -> Tensor:
    """Return the clip in the middle, int64 ``[T]`` from ``max(0, (num_frames - T * stride) // 2)``, as published."""
    start = max(0, (num_frames - clip_frames * stride) // 2)
    return _within(start + torch.arange(clip_frames) * stride, num_frames, short)


def uniform_clips(num_frames: int, clip_frames: int, stride: int, num_clips: int, short: str = "wrap") -> Tensor:
    """Return evaluation clips, int64 ``[K, T]``, spread over the video.

    They start at ``int(linspace(0, max(0, num_frames - T * stride), K))``, as published. A single clip (K = 1) is
    :func:`center_clip`: the published formula would give the first frames of the video, which is never what a single
    test view means.
    """
    if num_clips == 1:
        return center_clip(num_frames, clip_frames, stride, short)[None]

    last_start = max(0, num_frames - clip_frames * stride)
    starts = torch.from_numpy(np.linspace(0, last_start, num_clips).astype(np.int64))
    return _within(starts[:, None] + torch.arange(clip_frames) * stride, num_frames, short)


def clip_at(seconds: float, num_frames: int, fps: float, clip_frames: int, stride: int, short: str = "wrap") -> Tensor:
    """Return the clip, int64 ``[T]``, whose first frame is the first one at or after a time.

    A clip that would run past the end of the video begins as late as ``T * stride`` frames before it, as the last one
    of :func:`uniform_clips` does.

    Args:
        seconds: from the first frame of the video.
        num_frames, fps: of the video.
        clip_frames, stride: T, and the frames from one of the clip to the next.
        short: what happens in a video that is shorter than the clip.
    """
    last_start = max(0, num_frames - clip_frames * stride)
    start = min(frame_at(seconds, fps), last_start)
    return _within(start + torch.arange(clip_frames) * stride, num_frames, short)


def even_clip_at(
    seconds: float, length: float, num_frames: int, fps: float, clip_frames: int, short: str = "wrap"
) -> Tensor:
    """Return the clip, int64 ``[T]``, of T frames evenly spread over ``length`` seconds, as pytorchvideo takes them.

    The arguments are those of :func:`clip_at`; a clip that would run past the end of the video begins earlier, too.
    """
    last_start = max(Fraction(0), Fraction(num_frames) / Fraction(fps) - Fraction(length))
    start = min(Fraction(seconds), last_start)
    return _within(_evenly((start, start + Fraction(length)), fps, clip_frames), num_frames, short)


def pytorchvideo_clips(
    sampler, num_frames: int, fps: float, clip_frames: int, generator: torch.Generator, short: str = "wrap"
) -> Tensor:
    """Return the clips that a ``pytorchvideo.data.ClipSampler`` chooses, int64 ``[K, T]`` with as many as it gives.

    Each ``[start, end)`` interval in seconds becomes the frames whose time ``i / fps`` lies inside; T of them are taken
    evenly, ends included (``int(linspace(0, n - 1, T))``): what pytorchvideo's decoder and ``UniformTemporalSubsample``
    give together. An interval that runs past the end of the video follows ``short`` instead of being cut.
    """
    check_fps(fps)

    duration = Fraction(num_frames) / Fraction(fps)
    with isolated_rng(generator):
        intervals = _intervals(sampler, duration)

    clips = [_evenly(interval, fps, clip_frames) for interval in intervals]
    return torch.stack([_within(clip, num_frames, short) for clip in clips])


@contextmanager
def isolated_rng(generator: torch.Generator) -> Iterator[None]:
    """Seed Python's and torch's global CPU generators from ``generator``, and put them back at the end.

    For libraries that draw from global state. ``torch.manual_seed`` is avoided: it would also reseed every GPU.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    python_state = random.getstate()
    torch_state = torch.default_generator.get_state()

    random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        torch.default_generator.set_state(torch_state)


def _within(indices: Tensor, num_frames: int, short: str) -> Tensor:
    """Bring indices past the end of a video back into it."""
    if short == "wrap":
        return indices % num_frames
    return indices.clamp(max=num_frames - 1)


def _intervals(sampler, duration: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Return every ``(start, end)`` in seconds that the sampler gives for one video."""
    sampler.reset()
    intervals = []
    last_end = 0.0
    is_last = False
    while not is_last:
        clip = sampler(last_end, duration, {})
        # RandomMultiClipSampler answers with all its clips at once.
        if isinstance(clip.clip_start_sec, list):
            return list(zip(clip.clip_start_sec, clip.clip_end_sec, strict=True))

        intervals.append((clip.clip_start_sec, clip.clip_end_sec))
        last_end = clip.clip_end_sec
        is_last = clip.is_last_clip
    return intervals


def _evenly(interval: tuple[Fraction, Fraction], fps: float, clip_frames: int) -> Tensor:
    """Return ``clip_frames`` frames of an interval in seconds, evenly spread, as int64 ``[T]``."""
    start, end = interval
    first = frame_at(start, fps)
    stop = frame_at(end, fps)
    offsets = np.linspace(0, max(0, stop - first - 1), clip_frames).astype(np.int64)
    return first + torch.from_numpy(offsets)
