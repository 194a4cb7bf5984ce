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

from video_rs.runtime.errors import InputError
from video_rs.video.segments import check_fps, frame_at

SHORT_VIDEO_RULES = ("wrap", "repeat")


def random_clip(
    num_frames: int, clip_frames: int, stride: int, generator: torch.Generator, short: str = "wrap"
) -> Tensor:
    """Training clip: int64 [T], its start drawn uniformly over all starts that fit.

    With ``reach = (T - 1) * stride``, the start is in ``[0, num_frames - reach)`` if ``num_frames > reach``. A shorter
    video starts anywhere in ``[0, num_frames)`` and wraps, or under ``"repeat"`` starts at 0.
    """
    _check_counts(short, num_frames=num_frames, clip_frames=clip_frames, stride=stride)
    starts = num_frames - (clip_frames - 1) * stride
    if starts <= 0:
        starts = num_frames if short == "wrap" else 1
    start = torch.randint(starts, (), generator=generator)
    return _within(start + torch.arange(clip_frames) * stride, num_frames, short)


def center_clip(num_frames: int, clip_frames: int, stride: int, short: str = "wrap") -> Tensor:
    """The clip in the middle: int64 [T] from ``max(0, (num_frames - T * stride) // 2)``, as published."""
    _check_counts(short, num_frames=num_frames, clip_frames=clip_frames, stride=stride)
    start = max(0, (num_frames - clip_frames * stride) // 2)
    return _within(start + torch.arange(clip_frames) * stride, num_frames, short)


def uniform_clips(num_frames: int, clip_frames: int, stride: int, num_clips: int, short: str = "wrap") -> Tensor:
    """Evaluation clips: int64 [K,T] from ``int(linspace(0, max(0, num_frames - T * stride), K))``, as published.

    One clip (K = 1) is :func:`center_clip`: the published formula would give the first frames of the video, which is
    never what a single test view means.
    """
    _check_counts(short, num_frames=num_frames, clip_frames=clip_frames, stride=stride, num_clips=num_clips)
    if num_clips == 1:
        return center_clip(num_frames, clip_frames, stride, short)[None]
    last_start = max(0, num_frames - clip_frames * stride)
    starts = torch.from_numpy(np.linspace(0, last_start, num_clips).astype(np.int64))
    return _within(starts[:, None] + torch.arange(clip_frames) * stride, num_frames, short)


def pytorchvideo_clips(
    sampler, num_frames: int, fps: float, clip_frames: int, generator: torch.Generator, short: str = "wrap"
) -> Tensor:
    """Clips chosen by a ``pytorchvideo.data.ClipSampler``: int64 [K,T], K as many as the sampler gives.

    Each ``[start, end)`` span in seconds becomes the frames whose time ``i / fps`` lies inside; T of them are taken
    evenly, ends included (``int(linspace(0, n - 1, T))``): what pytorchvideo's decoder and ``UniformTemporalSubsample``
    give together. A span that runs past the end of the video follows ``short`` instead of being cut.
    """
    _check_counts(short, num_frames=num_frames, clip_frames=clip_frames)
    check_fps(fps)
    with isolated_rng(generator):
        spans = _spans(sampler, Fraction(num_frames) / Fraction(fps))
    return torch.stack([_within(_evenly(span, fps, clip_frames), num_frames, short) for span in spans])


@contextmanager
def isolated_rng(generator: torch.Generator) -> Iterator[None]:
    """Inside, Python's and torch's global CPU generators are seeded from ``generator``; after, they are as before.

    For libraries that draw from global state. ``torch.manual_seed`` is avoided: it would also reseed every GPU.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    python_state, torch_state = random.getstate(), torch.default_generator.get_state()
    random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python_state)
        torch.default_generator.set_state(torch_state)


def _within(indices: Tensor, num_frames: int, short: str) -> Tensor:
    return indices % num_frames if short == "wrap" else indices.clamp(max=num_frames - 1)


def _spans(sampler, duration: Fraction) -> list[tuple[Fraction, Fraction]]:
    """Every ``(start, end)`` in seconds that the sampler gives for one video."""
    sampler.reset()
    spans, last_end, done = [], 0.0, False
    while not done:
        info = sampler(last_end, duration, {})
        if isinstance(info.clip_start_sec, list):  # RandomMultiClipSampler answers with all its clips at once
            return list(zip(info.clip_start_sec, info.clip_end_sec, strict=True))
        spans.append((info.clip_start_sec, info.clip_end_sec))
        last_end, done = info.clip_end_sec, info.is_last_clip
    return spans


def _evenly(span: tuple[Fraction, Fraction], fps: float, clip_frames: int) -> Tensor:
    first, stop = (frame_at(seconds, fps) for seconds in span)
    offsets = np.linspace(0, max(0, stop - first - 1), clip_frames).astype(np.int64)
    return first + torch.from_numpy(offsets)


def _check_counts(short: str, **counts: int) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"{name}: got {value!r}, allowed: an integer of at least 1; correct the argument")
    if short not in SHORT_VIDEO_RULES:
        raise InputError(f"short: got {short!r}, allowed: {' or '.join(SHORT_VIDEO_RULES)}; choose one")
