"""Clips by time (DATA.TARGET_FPS): the same seconds of every video, whatever its rate."""

import numpy as np
import pytest
import torch

from helpers.clips import clip_spec, eval_transform
from video_rs.data.preprocessing import Preprocessing
from video_rs.video.segments import segment_span, whole_video

SECONDS = 10
RATES = (15.0, 30.0, 60.0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def video(fps):
    return whole_video(int(SECONDS * fps), fps)


def test_uniform_clips_show_the_same_moments_at_every_rate():
    spec = clip_spec(8, 4, target_fps=15.0)
    moments = [spec.uniform(video(fps), 5) // int(fps / 15) for fps in RATES]
    assert torch.equal(moments[0], moments[1])
    assert torch.equal(moments[0], moments[2])
    # At the target rate itself, those are the published frames.
    assert torch.equal(moments[0], clip_spec(8, 4).uniform(video(15.0), 5))


def test_without_a_target_the_same_clips_span_other_seconds():
    clips = [clip_spec(8, 4).uniform(video(fps), 1)[0] for fps in RATES]
    assert [(clip[-1] - clip[0]).item() for clip in clips] == [28] * 3


@pytest.mark.parametrize("fps", [10.0, 25.0, 29.97, 60.0])
@pytest.mark.parametrize("short", ["wrap", "repeat"])
def test_random_clips_span_the_same_seconds_at_every_rate(fps, short):
    spec, span = clip_spec(8, 4, short, target_fps=12.0), whole_video(int(20 * fps), fps)
    for seed in range(50):
        clip = spec.random(span, seeded(seed))
        steps = clip.diff() / fps
        # A frame begins less than its own length before the moment that it stands for.
        assert (steps - 4 / 12).abs().max() < 1 / fps
        assert clip.min() >= 0
        assert clip.max() < span.count


def test_random_clips_reach_every_frame_of_a_faster_video():
    spec, span = clip_spec(2, 1, target_fps=10.0), whole_video(120, 60.0)
    generator = seeded()
    seen = torch.stack([spec.random(span, generator) for _ in range(3000)])
    assert set(seen.flatten().tolist()) == set(range(120))
    assert torch.equal(seen[:, 1] - seen[:, 0], torch.full((3000,), 6))


def test_at_its_own_rate_a_video_gives_the_clips_of_its_frame_numbers():
    by_frame, by_time = clip_spec(8, 4), clip_spec(8, 4, target_fps=30.0)
    for frames in (1, 20, 29, 300):
        span = whole_video(frames, 30.0)
        assert torch.equal(by_time.uniform(span, 10), by_frame.uniform(span, 10))
        assert torch.equal(by_time.random(span, seeded(3)), by_frame.random(span, seeded(3)))


def test_a_rate_of_29_97_gives_the_frames_of_30():
    by_frame, by_time = clip_spec(8, 4), clip_spec(8, 4, target_fps=30.0)
    span = whole_video(300, 30000 / 1001)
    assert torch.equal(by_time.uniform(span, 10), by_frame.uniform(span, 10))


def test_frames_are_picked_by_their_own_times():
    """Two seconds of 10 frames per second, a pause of eight, one second: a clip over all shows the pause."""
    times = np.concatenate([np.arange(20) / 10, 10 + np.arange(10) / 10])
    span = whole_video(30, 29 / 10.9, times)
    (clip,) = clip_spec(11, 1, target_fps=1.0).uniform(span, 1)
    asked = np.arange(11) + 0.5
    assert clip.tolist() == [max(i for i in range(30) if times[i] <= t) for t in asked]
    assert clip.tolist() == [5, 15, *[19] * 8, 25]


@pytest.mark.parametrize(("short", "expected"), [("wrap", [0, 2, 4, 6, 0, 2]), ("repeat", [0, 2, 4, 6, 7, 7])])
def test_a_video_shorter_than_its_clip_follows_the_same_rule(short, expected):
    """Eight frames at 8 per second are four ticks of 4 per second; tick i is on the screen in frame 2 i."""
    (clip,) = clip_spec(6, 1, short, target_fps=4.0).uniform(whole_video(8, 8.0), 1)
    middle = [frame + 1 for frame in expected] if short == "wrap" else [1, 3, 5, 7, 7, 7]
    assert clip.tolist() == middle


def test_single_frames_clips_and_views():
    assert clip_spec(4, 3, target_fps=30.0).uniform(whole_video(1, 1.0), 3).unique().tolist() == [0]
    (clip,) = clip_spec(1, 1, target_fps=5.0).uniform(video(15.0), 1)
    assert clip.tolist() == [73]  # tick 24 of 50, from 4.8 to 5 s: its middle is 4.9 s, frame 73.5
    one_second = clip_spec(4, 1, target_fps=0.5).uniform(whole_video(30, 30.0), 2)
    assert one_second.tolist() == [[29] * 4] * 2  # a single tick of two seconds, whose middle is the end


def test_a_segment_bounds_the_clip_and_its_numbers_are_the_videos():
    span = segment_span(600, 60.0, 2.0, 4.0)
    spec = clip_spec(6, 2, target_fps=6.0)
    assert spec.uniform(span, 1).tolist() == [[120 + 10 * tick + 5 for tick in range(0, 12, 2)]]
    drawn = torch.stack([spec.random(span, seeded(seed)) for seed in range(30)])
    assert drawn.min() >= 120
    assert drawn.max() < 240


@pytest.mark.parametrize("fps", RATES)
def test_the_samplers_of_pytorchvideo_take_the_same_seconds(fps):
    spec = clip_spec(5, 6, clip_sampler="pytorchvideo", target_fps=15.0)
    # Clips of two seconds; the 30 ticks of each are taken evenly, ends included.
    ticks = torch.tensor([[0, 7, 14, 21, 29], [60, 67, 74, 81, 89]])
    assert torch.equal(spec.uniform(video(fps), 2) // int(fps / 15), ticks)
    clip = spec.random(video(fps), seeded(1))
    assert ((clip[-1] - clip[0]) / fps - 29 / 15).abs() < 1 / fps


def test_a_checkpoint_from_before_the_key_counts_frames():
    spec = Preprocessing(clip_spec(4, 2, target_fps=12.5), 2, eval_transform(40, 32), (0.0,) * 3, (1.0,) * 3)
    data = spec.to_dict()
    assert Preprocessing.from_dict(data) == spec
    del data["clip"]["target_fps"]
    assert Preprocessing.from_dict(data).clip == clip_spec(4, 2)
