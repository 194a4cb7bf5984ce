"""Two clips of one video: how far apart they are, and that each is what its own draws make of one decode."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import torch

from helpers.clips import clip_spec, record_decoding, train_transform
from video_rs.data import dataset
from video_rs.data.clip_pairs import PairReader
from video_rs.data.dataset import ClipReader, VideoSource, sample_generator
from video_rs.data.loader import ClipLoader, Workers
from video_rs.data.order import ClipOrder, Partition, permutation
from video_rs.data.sampling import random_pair
from video_rs.lists.records import VideoRecord
from video_rs.video import open_video
from video_rs.video.encoding import write_video
from video_rs.video.segments import whole_video

COUNT, FPS = 30, 10.0
TRANSFORMS = {
    "box": train_transform(crop_size=16),
    "augmented": train_transform(
        crop_size=16, color_jitter=0.8, hue_jitter=0.2, color_jitter_prob=0.8, grey=0.2, blur=0.5
    ),
    "square": train_transform(crop_size=16, crop="short_side", short_side=(16, 30), antialias=True),
}


def noise(path, count):
    coarse = np.random.default_rng(0).integers(0, 256, (count, 10, 16, 3), dtype=np.uint8)
    write_video(path, coarse.repeat(4, axis=1).repeat(4, axis=2), fps=10)
    return VideoRecord(str(path), (), None, None, path.stem)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """30 frames of 40 x 64 at 10 per second."""
    return noise(tmp_path_factory.mktemp("noise") / "noise.mp4", COUNT)


def drawn(num_frames, frames, stride, times, **options):
    generator = torch.Generator().manual_seed(0)
    for _ in range(times):
        first, second = random_pair(num_frames, frames, stride, generator, **options)
        yield first.tolist(), second.tolist()


def probabilities(starts, power):
    """1 - (d / S) ** power over its sum, by hand."""
    weights = np.array([1 - (distance / starts) ** power for distance in range(starts)])
    return weights / weights.sum()


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_distances_have_their_probabilities_and_starts_are_uniform(power):
    """Of 12 frames, a clip of 3 with stride 2 leaves 8 starts. Bounds are five standard deviations."""
    times = 8000
    distances, starts = Counter(), Counter()
    for first, second in drawn(12, 3, 2, times, power=power):
        assert np.diff(first).tolist() == np.diff(second).tolist() == [2, 2]
        distances[second[0] - first[0]] += 1
        starts[first[0], second[0]] += 1

    expected = probabilities(8, power)
    assert all(early > late for early, late in pairwise(expected))
    for distance, share in enumerate(expected):
        assert abs(distances[distance] / times - share) < 5 * np.sqrt(share * (1 - share) / times)
        # Each start that is left comes as often as the others.
        for start in range(8 - distance):
            each = share / (8 - distance)
            assert abs(starts[start, start + distance] / times - each) < 5 * np.sqrt(each * (1 - each) / times)
    assert set(distances) == set(range(8))


def test_a_linear_fall_is_the_published_one():
    """The published cumulative distribution at power 1, -k^2 / T^2 + 2 k / T, up to the width of one start."""
    starts = 200
    cumulative = probabilities(starts, 1.0).cumsum()
    k = np.arange(1, starts + 1)
    np.testing.assert_allclose(cumulative, -(k**2) / starts**2 + 2 * k / starts, atol=1.01 / starts)


def test_a_video_that_is_just_long_enough_gives_one_clip_twice():
    for first, second in drawn(5, 3, 2, 10):
        assert first == second == [0, 2, 4]


@pytest.mark.parametrize("short", ["wrap", "repeat"])
def test_clips_of_a_shorter_video_are_drawn_apart(short):
    seen = set()
    for first, second in drawn(4, 3, 2, 400, short=short):
        for clip in (first, second):
            if short == "wrap":
                assert clip == [(clip[0] + 2 * k) % 4 for k in range(3)]
            else:
                assert clip == [0, 2, 3]
        seen.add((first[0], second[0]))
    assert len(seen) == (16 if short == "wrap" else 1)


@pytest.mark.parametrize("short", ["wrap", "repeat"])
def test_a_single_frame_is_shown_throughout(short):
    for first, second in drawn(1, 3, 2, 5, short=short):
        assert first == second == [0, 0, 0]


def pair_reader(transform="box", spec=None, power=1.0, seed=3):
    return PairReader(spec or clip_spec(4, 3), TRANSFORMS[transform], VideoSource(), seed, 2, power=power)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("power", [1.0, 4.0])
def test_each_clip_has_its_own_draws(video, transform, power):
    """What the transform makes of either clip's frames, one after the other from one generator."""
    reader = pair_reader(transform, power=power)
    for epoch in range(6):
        samples = reader(video, epoch, 5)
        generator = sample_generator(3, epoch, 5)
        shown = random_pair(COUNT, 4, 3, generator, power=power)
        for sample, frames in zip(samples, shown, strict=True):
            with open_video(video.path) as opened:
                expected = TRANSFORMS[transform](opened.frames(frames), generator)
            assert torch.equal(sample.clip, expected)
        assert not torch.equal(samples[0].clip, samples[1].clip)


def test_a_pair_is_a_function_of_seed_epoch_and_pick(video):
    state = torch.get_rng_state()
    first, again, other = (pair_reader("augmented")(video, *key) for key in ((0, 0), (0, 0), (1, 0)))
    assert torch.equal(torch.get_rng_state(), state)
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a.clip, b.clip)
        assert not torch.equal(a.clip, c.clip)
    assert not torch.equal(pair_reader("augmented", seed=4)(video, 0, 0)[0].clip, first[0].clip)


def test_both_clips_are_of_one_decode(video, monkeypatch):
    decoded = record_decoding(monkeypatch)
    pair_reader(spec=clip_spec(12, 2))(video, 0, 0)
    assert len(decoded) == 1
    assert len(decoded[0].unique()) == len(decoded[0])


def test_clips_stay_in_their_segment(video):
    """Frames 10 to 19 alone, by frame number and by ticks."""
    segment = VideoRecord(video.path, (), 1.0, 2.0, "segment")
    for spec in (clip_spec(3, 2), clip_spec(3, 2, target_fps=20.0), clip_spec(20, 1)):
        reader = pair_reader(spec=spec)
        with open_video(video.path) as opened:
            span = dataset.record_span(opened, segment)
            for seed in range(50):
                clips = reader.draw(span, torch.Generator().manual_seed(seed))
                assert min(clip.min() for clip in clips) >= 10
                assert max(clip.max() for clip in clips) <= 19


def test_ticks_are_counted_at_the_rate_that_is_asked_for(video):
    """At 5 ticks a second, every other frame: a clip of 3 ticks of stride 2 has 11 starts in 15 ticks."""
    span = whole_video(COUNT, FPS)
    reader = pair_reader(spec=clip_spec(3, 2, target_fps=5.0))
    distances = set()
    for seed in range(300):
        first, second = reader.draw(span, torch.Generator().manual_seed(seed))
        assert np.diff(first).tolist() == np.diff(second).tolist() == [4, 4]
        distances.add(int(second[0] - first[0]))
    assert distances <= set(range(0, 22, 2))
    assert {0, 2, 4} < distances


def test_a_video_that_cannot_be_read_leaves_both_slots_empty_and_pairs_whole(video, tmp_path):
    """In the loader's batches, partners stand one after the other, whatever could not be read."""
    broken = VideoRecord(str(tmp_path / "none.mp4"), (), None, None, "none")
    short = noise(tmp_path / "single.mp4", 1)
    records = [video, broken, short]
    order = ClipOrder(lambda epoch: permutation(epoch, seed=0, num_samples=3), 3, 6, 1, Partition(), 0, 2, 2)
    batches = list(ClipLoader(records, pair_reader(), order, Workers()))
    assert len(batches) == 2
    for batch in batches:
        assert (batch.size, len(batch.clips)) == (6, 4)
        assert [path for path, _ in batch.failures] == [broken.path] * 2
        assert sorted(batch.records.tolist()) == [0, 0, 2, 2]
        assert batch.records[::2].tolist() == batch.records[1::2].tolist()
        assert batch.labels.tolist() == [-1] * 4


def test_a_reader_of_single_clips_is_what_it_was(video):
    """The draws of a supervised run: each clip's start uniformly, then its transform."""
    samples = ClipReader(clip_spec(4, 3), TRANSFORMS["box"], VideoSource(), 3, 2)(video, 1, 5)
    generator = sample_generator(3, 1, 5)
    starts = [int(torch.randint(COUNT - 9, (), generator=generator)) for _ in range(2)]
    for sample, start in zip(samples, starts, strict=True):
        with open_video(video.path) as opened:
            frames = opened.frames([start + 3 * k for k in range(4)])
        assert torch.equal(sample.clip, TRANSFORMS["box"](frames, generator))
