"""Two forms of one clip from one decode, each pixel for pixel what its own preprocessing makes of the same frames."""

import itertools

import numpy as np
import pytest
import torch

from helpers.clips import clip_spec, record_decoding, train_transform
from video_rs.data.dataset import ClipReader, VideoSource, sample_generator
from video_rs.data.random_boxes import random_below
from video_rs.data.resizing import resize, short_side_size
from video_rs.data.second_view import SecondView, TwoViewReader
from video_rs.lists.records import VideoRecord
from video_rs.video import open_video
from video_rs.video.encoding import write_video
from video_rs.video.segments import Span, whole_video

COUNT, FPS = 30, 10.0


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """30 frames of 40 x 64 at 10 per second."""
    path = tmp_path_factory.mktemp("noise") / "noise.mp4"
    coarse = np.random.default_rng(0).integers(0, 256, (COUNT, 10, 16, 3), dtype=np.uint8)
    write_video(path, coarse.repeat(4, axis=1).repeat(4, axis=2), fps=10)
    return VideoRecord(str(path), (1,), None, None, "noise")


SPECS = {
    "same stride": clip_spec(4, 3),
    "wraps": clip_spec(20, 2),
    "repeats": clip_spec(20, 2, short_video="repeat"),
    "ticks": clip_spec(4, 3, target_fps=8.0),
    "pytorchvideo": clip_spec(4, 3, clip_sampler="pytorchvideo"),
}
TRANSFORMS = {
    "box": train_transform(crop_size=16),
    "box, augmented": train_transform(crop_size=16, color_jitter=0.4, rand_augment_layers=1, random_erasing=0.5),
    "square": train_transform(crop_size=16, crop="short_side", short_side=(16, 30), antialias=True),
}
VIEWS = {
    "more frames, larger": SecondView(12, 24, False),
    "fewer, smaller, antialiased": SecondView(2, 8, True),
    "the same": SecondView(4, 16, False),
}


def read(reader, record, epoch):
    [sample] = reader(record, epoch, 5)
    assert sample.error is None
    return sample


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_the_first_form_is_that_of_a_reader_of_one(noise, spec, transform):
    for epoch in range(4):
        one = read(ClipReader(spec, transform, VideoSource(), 3), noise, epoch)
        two = read(TwoViewReader(spec, transform, VideoSource(), 3, second=SecondView(5, 24, True)), noise, epoch)
        assert torch.equal(one.clip, two.clip)
        assert (one.second_clip, two.second_clip.shape) == (None, (3, 5, 24, 24))
        assert two.second_clip.is_contiguous()
        assert (one.labels, one.video, one.counted) == (two.labels, two.video, two.counted)


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("name", ["box", "box, augmented"])
def test_the_second_form_is_what_its_own_transform_makes_of_the_same_draws(noise, view, name):
    """A transform of its size, without augmentation, from the state at which the first form's box is drawn."""
    spec = SPECS["same stride"]
    plain = train_transform(crop_size=view.crop_size, antialias=view.antialias)
    for epoch in range(6):
        two = read(TwoViewReader(spec, TRANSFORMS[name], VideoSource(), 3, second=view), noise, epoch)
        generator = sample_generator(3, epoch, 5)
        shown = spec.random(whole_video(COUNT, FPS), generator)
        # The clip begins at most at 30 - 9 = 20, and its second form ends before 20 + 12.
        every = [min(int(shown[0]) + k * 12 // view.num_frames, COUNT - 1) for k in range(view.num_frames)]
        with open_video(noise.path) as video:
            frames = torch.cat([video.frames([frame]) for frame in every])
        assert torch.equal(two.second_clip, plain(frames, generator))


@pytest.mark.parametrize("size", [16, 32, 24])
def test_a_square_of_another_size_shows_the_same_part(noise, size):
    """The frames are resized by as much more, and the corner is as much farther."""
    transform = TRANSFORMS["square"]
    spec = SPECS["same stride"]
    mirrored = set()
    for epoch in range(8):
        reader = TwoViewReader(spec, transform, VideoSource(), 3, second=SecondView(4, size, True))
        two = read(reader, noise, epoch)
        generator = sample_generator(3, epoch, 5)
        shown = spec.random(whole_video(COUNT, FPS), generator)
        height, width = short_side_size(40, 64, 16 + random_below(15, generator))
        top, left = random_below(height - 15, generator), random_below(width - 15, generator)
        is_mirrored = bool(torch.rand((), generator=generator) < 0.5)
        mirrored.add(is_mirrored)

        height, width, top, left = (int(np.floor(length * size / 16 + 0.5)) for length in (height, width, top, left))
        top, left = min(top, height - size), min(left, width - size)
        with open_video(noise.path) as video:
            frames = video.frames(shown)
        expected = resize(frames, height, width, antialias=True)[:, :, top : top + size, left : left + size]
        assert torch.equal(two.second_clip, expected.flip(-1) if is_mirrored else expected)
        if size == 16:
            assert torch.equal(two.second_clip, two.clip)
    assert mirrored == {False, True}


def test_the_same_form_twice_is_the_same_clip(noise):
    for name in ("same stride", "ticks", "pytorchvideo"):
        reader = TwoViewReader(SPECS[name], TRANSFORMS["box"], VideoSource(), 0, second=SecondView(4, 16, False))
        for epoch in range(4):
            two = read(reader, noise, epoch)
            assert torch.equal(two.clip, two.second_clip)
    for name in ("wraps", "repeats"):
        reader = TwoViewReader(SPECS[name], TRANSFORMS["box"], VideoSource(), 0, second=SecondView(20, 16, False))
        two = read(reader, noise, 0)
        assert torch.equal(two.clip, two.second_clip)


def test_a_video_is_decoded_once_for_all_clips_and_forms(noise, monkeypatch):
    decoded = record_decoding(monkeypatch)
    reader = TwoViewReader(
        SPECS["same stride"], TRANSFORMS["box"], VideoSource(), 0, clips=3, second=SecondView(12, 24, False)
    )
    samples = reader(noise, 0, 0)
    assert [sample.second_clip.shape for sample in samples] == [(3, 12, 24, 24)] * 3
    assert len(decoded) == 1
    assert len(decoded[0].unique()) == len(decoded[0])

    single = ClipReader(SPECS["same stride"], TRANSFORMS["box"], VideoSource(), 0, clips=3)(noise, 0, 0)
    assert all(torch.equal(a.clip, b.clip) for a, b in zip(samples, single, strict=True))


def test_a_video_that_cannot_be_read_leaves_its_slots_empty(noise):
    record = VideoRecord(noise.path, (1,), 20.0, 30.0, "behind the end")
    reader = TwoViewReader(
        SPECS["same stride"], TRANSFORMS["box"], VideoSource(), 0, clips=2, second=SecondView(4, 16, False)
    )
    samples = reader(record, 0, 0)
    assert [(sample.clip, sample.second_clip) for sample in samples] == [(None, None)] * 2
    assert "holds no frame" in samples[0].error


def twice(spec, count, second, seed=0, first=0):
    span = Span(first, count, FPS, count / FPS)
    one = spec.random(span, torch.Generator().manual_seed(seed))
    both = spec.random_twice(span, second, torch.Generator().manual_seed(seed))
    assert torch.equal(both[0], one)
    assert both[1].dtype == torch.int64
    return both[0].tolist(), both[1].tolist()


def test_frames_are_spread_over_the_time_of_the_clip():
    """A clip of 4 frames, 4 apart, spans 16: 8 frames are 2 apart, 16 are all of them, 32 show each twice."""
    for seed in range(10):
        shown, eight = twice(clip_spec(4, 4), 100, 8, seed, first=7)
        start = shown[0]
        assert eight == list(range(start, start + 16, 2))
        assert twice(clip_spec(4, 4), 100, 16, seed, first=7)[1] == list(range(start, start + 16))
        assert twice(clip_spec(4, 4), 100, 32, seed, first=7)[1] == [start + k // 2 for k in range(32)]
        assert twice(clip_spec(4, 4), 100, 2, seed, first=7)[1] == [start, start + 8]
        assert twice(clip_spec(4, 4), 100, 3, seed, first=7)[1] == [start, start + 5, start + 10]


def test_what_the_clip_does_not_reach_is_not_shown():
    """13 frames hold a clip of 4 frames, 4 apart, in one place, and 14 to 16 are not there."""
    assert twice(clip_spec(4, 4), 13, 16) == ([0, 4, 8, 12], [*range(13), 12, 12, 12])


def test_a_clip_longer_than_its_video_is_so_in_both_forms():
    for seed in range(5):
        shown, second = twice(clip_spec(4, 4), 10, 8, seed)
        start = shown[0]
        assert shown == [(start + 4 * k) % 10 for k in range(4)]
        assert second == [min(start + 2 * k, start + 12) % 10 for k in range(8)]
    assert twice(clip_spec(4, 4, short_video="repeat"), 10, 8) == ([0, 4, 8, 9], [0, 2, 4, 6, 8, 9, 9, 9])
    assert twice(clip_spec(4, 4), 1, 8) == ([0] * 4, [0] * 8)


def test_ticks_of_a_target_rate_are_divided_too():
    """At 5 ticks a second a clip of 4 frames, 1 apart, spans 0.8 s: 8 frames of a video of 10 a second."""
    for seed in range(10):
        shown, second = twice(clip_spec(4, 1, target_fps=5.0), 100, 8, seed)
        assert second[::2] == shown
        # The last may be behind the end of the video.
        assert all(b - a == 1 or b == 99 for a, b in itertools.pairwise(second))


def test_pytorchvideos_interval_is_taken_evenly_in_both_forms():
    for seed in range(5):
        shown, second = twice(clip_spec(4, 4, clip_sampler="pytorchvideo"), 100, 8, seed)
        assert (second[0], second[-1]) == (shown[0], shown[-1])
        assert second == [shown[0] + int(x) for x in np.linspace(0, shown[-1] - shown[0], 8)]
