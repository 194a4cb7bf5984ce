"""Frame indices against literal offsets, enumeration of every start, and pytorchvideo's own decoding rule."""

import contextlib
import random
from collections import Counter

import numpy as np
import pytest
import torch
from pytorchvideo.data.clip_sampling import (
    ConstantClipsPerVideoSampler,
    RandomClipSampler,
    RandomMultiClipSampler,
    UniformClipSampler,
)

from video_rs.data.sampling import center_clip, isolated_rng, pytorchvideo_clips, random_clip, uniform_clips
from video_rs.runtime.errors import InputError


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(
    ("num_frames", "starts"),
    [
        (12, range(6)),  # reach 6: the last start, 5, ends on frame 11
        (7, range(1)),
        (6, range(6)),  # not longer than the reach: any start, wrapping
        (3, range(3)),
        (1, range(1)),
    ],
)
def test_random_clip_draws_every_start_equally_often(num_frames, starts):
    generator, draws = seeded(), 600 * len(starts)
    counts = Counter(tuple(random_clip(num_frames, 4, 2, generator).tolist()) for _ in range(draws))
    expected = {tuple((start + 2 * i) % num_frames for i in range(4)) for start in starts}
    assert set(counts) == expected
    # Binomial with mean 600 and deviation below 25: 5 deviations are never reached by a uniform draw.
    per_clip = draws / len(expected)
    assert all(abs(count - per_clip) < 5 * per_clip**0.5 for count in counts.values())


def test_random_clip_repeat_holds_the_last_frame():
    assert random_clip(3, 4, 2, seeded(), short="repeat").tolist() == [0, 2, 2, 2]
    assert random_clip(6, 4, 2, seeded(), short="repeat").tolist() == [0, 2, 4, 5]
    long = {random_clip(9, 4, 2, seeded(s), short="repeat")[0].item() for s in range(50)}
    assert long == {0, 1, 2}  # a video that fits is drawn as usual


def test_random_clip_depends_on_its_generator_only():
    before = torch.get_rng_state(), random.getstate()
    draws = [random_clip(1000, 32, 2, seeded(seed)).tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


@pytest.mark.parametrize(
    ("num_frames", "expected"),
    [
        (20, [6, 8, 10, 12]),
        (21, [6, 8, 10, 12]),
        (8, [0, 2, 4, 6]),
        (5, [0, 2, 4, 1]),
        (1, [0, 0, 0, 0]),
    ],
)
def test_center_clip(num_frames, expected):
    clip = center_clip(num_frames, 4, 2)
    assert clip.dtype == torch.int64
    assert clip.tolist() == expected


def test_center_clip_repeat():
    assert center_clip(5, 4, 2, short="repeat").tolist() == [0, 2, 4, 4]


def test_uniform_clips_published_offsets():
    clips = uniform_clips(300, 32, 2, 10)
    # int(linspace(0, 300 - 64, 10)), worked out by hand: 236 / 9 = 26.22
    assert clips[:, 0].tolist() == [0, 26, 52, 78, 104, 131, 157, 183, 209, 236]
    assert torch.equal(clips - clips[:, :1], (torch.arange(32) * 2).expand(10, 32))


@pytest.mark.parametrize("num_clips", [2, 3, 10])
def test_uniform_clips_starts_are_the_exact_fractions_rounded_down(num_clips):
    for num_frames in range(64, 400):
        exact = [k * (num_frames - 64) // (num_clips - 1) for k in range(num_clips)]  # integers: no rounding
        assert uniform_clips(num_frames, 32, 2, num_clips)[:, 0].tolist() == exact


def test_uniform_clips_of_a_short_video_all_wrap_from_zero():
    assert uniform_clips(5, 4, 2, 3).tolist() == [[0, 2, 4, 1]] * 3
    assert uniform_clips(5, 4, 2, 3, short="repeat").tolist() == [[0, 2, 4, 4]] * 3
    assert uniform_clips(1, 4, 2, 2).tolist() == [[0] * 4] * 2


@pytest.mark.parametrize("num_frames", [1, 5, 8, 21, 300])
def test_one_uniform_clip_is_the_centre(num_frames):
    for short in ("wrap", "repeat"):
        one = uniform_clips(num_frames, 4, 2, 1, short)
        assert one.tolist() == [center_clip(num_frames, 4, 2, short).tolist()]


def as_pytorchvideo_decodes(start, end, fps, num_frames, clip_frames):
    """Its decord reader's frame range, then its UniformTemporalSubsample, for spans inside the video."""
    frames = np.arange(int(np.ceil(fps * start)), min(int(np.ceil(fps * end)), num_frames))
    picks = torch.linspace(0, len(frames) - 1, clip_frames).clamp(0, len(frames) - 1).long()
    return frames[picks.numpy()].tolist()


@pytest.mark.parametrize(
    "sampler",
    [
        ConstantClipsPerVideoSampler(2, 3),
        UniformClipSampler(2),
        UniformClipSampler(2, stride=1),
        UniformClipSampler(2, backpad_last=True),
    ],
)
def test_pytorchvideo_clips_are_the_frames_it_would_decode(sampler):
    spans, last_end, done = [], 0.0, False
    while not done:
        info = sampler(last_end, 7.5, {})
        spans.append((float(info.clip_start_sec), float(info.clip_end_sec)))
        last_end, done = info.clip_end_sec, info.is_last_clip
    expected = [as_pytorchvideo_decodes(start, end, 8, 60, 5) for start, end in spans]
    assert len(expected) > 1
    assert pytorchvideo_clips(sampler, 60, 8, 5, seeded()).tolist() == expected


def test_pytorchvideo_clips_literal():
    sampler = ConstantClipsPerVideoSampler(2, 2)  # starts 0 and (7.5 - 2) / 2 = 2.75 s: frames 0..15 and 22..37
    expected = [[0, 3, 7, 11, 15], [22, 25, 29, 33, 37]]
    assert pytorchvideo_clips(sampler, 60, 8, 5, seeded()).tolist() == expected
    assert pytorchvideo_clips(sampler, 60, 8, 1, seeded()).tolist() == [[0], [22]]


@pytest.mark.parametrize("fps", [25.0, 29.97, 30000 / 1001, 60.0])
def test_pytorchvideo_clips_of_whole_video_lose_and_gain_no_frame(fps):
    """Times that are floats of frame numbers must not round to one frame fewer, or past the end."""
    for num_frames in range(1, 200):
        clip = pytorchvideo_clips(RandomClipSampler(num_frames / fps), num_frames, fps, num_frames, seeded())
        assert clip.tolist() == [list(range(num_frames))]


@pytest.mark.parametrize(("short", "expected"), [("wrap", [0, 2, 1, 0]), ("repeat", [0, 2, 2, 2])])
def test_pytorchvideo_clips_short_video(short, expected):
    sampler = ConstantClipsPerVideoSampler(7 / 8, 1)  # frames 0, 2, 4, 6 of a video of three
    assert pytorchvideo_clips(sampler, 3, 8, 4, seeded(), short).tolist() == [expected]


def test_pytorchvideo_random_samplers_draw_from_the_generator_only():
    random.seed(5)
    before = torch.get_rng_state(), random.getstate()

    def draw(seed):
        return pytorchvideo_clips(RandomClipSampler(1), 2000, 25, 8, seeded(seed)).tolist()

    assert draw(1) == draw(1) != draw(2)
    several = pytorchvideo_clips(RandomMultiClipSampler(1, 3), 2000, 25, 8, seeded(1))
    assert len(several) == 3
    assert several[0].tolist() == draw(1)[0]
    assert len(set(several[:, 0].tolist())) == 3
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


def test_isolated_rng_restores_after_an_error_and_advances_the_generator():
    before = torch.get_rng_state(), random.getstate()
    generator, drawn = seeded(), []
    for _ in range(2):
        with contextlib.suppress(RuntimeError), isolated_rng(generator):
            drawn.append((random.random(), torch.rand(()).item()))
            raise RuntimeError
    assert drawn[0] != drawn[1]
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


def test_a_rate_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="fps: got 0, allowed") as refused:
        pytorchvideo_clips(RandomClipSampler(1), 5, 0, 4, seeded())
    assert "\n" not in str(refused.value)
