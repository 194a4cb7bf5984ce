"""Which frames make which window, and that each frame is decoded, resized and held once."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from helpers.films import film
from helpers.numbered_videos import numbered, numbers
from helpers.timelines import brightness_predictor, write_levels
from video_rs.data.eval_transform import EvalTransform
from video_rs.data.preprocessing import ClipSpec
from video_rs.inference.timeline.reading import CHUNK_FRAMES, FrameStream
from video_rs.inference.timeline.scoring import WindowScorer
from video_rs.inference.timeline.windows import SlidingWindows, needed_frames
from video_rs.video import DecodeError, VideoReader, open_video
from video_rs.video.encoding import write_video
from video_rs.video.index.numbered_packets import NumberedPackets
from video_rs.video.segments import segment_span, whole_video

AS_IT_IS = EvalTransform(48, 48, 1, antialias=False)


def clip_spec(frames=4, rate=2, short="wrap", sampler="frames", target_fps=0.0):
    return ClipSpec(frames, rate, short, sampler, target_fps)


@pytest.mark.parametrize("stride", [Fraction(1, 10), Fraction(3, 10), Fraction(8, 10), Fraction(2)])
@pytest.mark.parametrize("count", [8, 9, 25, 40])
def test_windows_begin_every_stride_and_the_last_ends_with_the_video(count, stride):
    """At 10 frames per second, with clips of 4 frames, 2 apart: 8 frames of the video."""
    windows = SlidingWindows(clip_spec(), whole_video(count, 10.0), float(stride))
    starts, start = [], Fraction(0)
    while start * 10 < count - 8:
        starts.append(math.ceil(start * 10))
        start += stride
    expected = [[first + 2 * i for i in range(4)] for first in [*starts, count - 8]]
    assert [window.frames.tolist() for window in windows] == expected
    assert len(windows) == len(expected)
    for window, frames in zip(windows, expected, strict=True):
        assert window.start == pytest.approx(frames[0] / 10)
        assert window.end == pytest.approx(frames[0] / 10 + 0.8)
    assert windows.ends == count / 10


@pytest.mark.parametrize(("short", "frames"), [("wrap", [0, 2, 4, 1]), ("repeat", [0, 2, 4, 4])])
def test_a_video_shorter_than_a_window_has_one(short, frames):
    (window,) = SlidingWindows(clip_spec(short=short), whole_video(5, 10.0), 0.1)
    assert window.frames.tolist() == frames
    assert (window.start, window.end) == (0.0, 0.5)


def test_a_window_by_time_spans_the_same_seconds_of_every_video():
    """4 frames, 2 apart, at 10 per second are 0.8 s: of 25 per second those on the screen at 0.05, 0.25, 0.45, 0.65."""
    windows = list(SlidingWindows(clip_spec(target_fps=10.0), whole_video(50, 25.0), 0.4))
    assert windows[0].frames.tolist() == [1, 6, 11, 16]
    assert windows[1].frames.tolist() == [11, 16, 21, 26]
    assert windows[-1].frames.tolist() == [31, 36, 41, 46]
    assert len(windows) == 4  # 0, 0.4, 0.8, 1.2


def test_a_window_of_pytorchvideos_sampler_is_spread_evenly():
    """0.8 s at 10 per second are frames 0 to 7, of which 4 evenly are 0, 2, 4, 7."""
    windows = list(SlidingWindows(clip_spec(sampler="pytorchvideo"), whole_video(13, 10.0), 0.4))
    assert [window.frames.tolist() for window in windows] == [[0, 2, 4, 7], [4, 6, 8, 11], [5, 7, 9, 12]]


def test_windows_of_a_part_have_the_times_of_the_video():
    span = segment_span(100, 10.0, 3.0, 5.0)
    windows = list(SlidingWindows(clip_spec(), span, 1.0, begins=3.0))
    assert [window.frames[0].item() for window in windows] == [30, 40, 42]
    assert [(round(w.start, 6), round(w.end, 6), round(w.centre, 6)) for w in windows] == [
        (3.0, 3.8, 3.4),
        (4.0, 4.8, 4.4),
        (4.2, 5.0, 4.6),
    ]


def test_times_of_an_uneven_video_are_those_of_its_frames():
    times = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 1.4, 2.4, 3.4, 4.4])
    span = whole_video(9, 8 / 4.4, times)
    windows = list(SlidingWindows(clip_spec(2, 1), span, 8.8 / 8))
    assert windows[0].start == 0.0
    assert [window.start for window in windows] == [times[window.frames[0]] for window in windows]


def test_needed_frames_are_those_of_all_windows_in_order():
    chance = np.random.default_rng(0)
    for _ in range(50):
        frames, rate = chance.integers(1, 6, 2).tolist()
        span = whole_video(int(chance.integers(1, 80)), 10.0)
        windows = SlidingWindows(clip_spec(frames, rate), span, float(chance.uniform(0.05, 2)))
        every = sorted({frame for window in windows for frame in window.frames.tolist()})
        assert list(needed_frames(windows)) == every


class Counting(VideoReader):
    """Frames that show their numbers, and which of them were asked for."""

    def __init__(self, count, damaged=()):
        self.num_frames, self.fps, self.height, self.width = count, 10.0, 48, 112
        self.asked, self.damaged = [], set(damaged)

    def frames(self, indices):
        self.asked += list(indices)
        if self.damaged & set(indices):
            raise DecodeError("x", f"frame {min(self.damaged & set(indices))} is damaged")
        return torch.from_numpy(numbered(100)[list(indices)])

    def close(self):
        pass


def test_each_frame_is_decoded_once_and_dropped_when_no_window_needs_it():
    reader, spec = Counting(90), clip_spec(4, 2)
    windows = SlidingWindows(spec, whole_video(90, 10.0), 0.5)
    clips = FrameStream(reader, AS_IT_IS).clips(windows)
    for window, clip in clips:
        assert numbers(clip.permute(1, 2, 3, 0)) == window.frames.tolist()
        # Windows begin 5 frames apart and last 8: of all frames, those from this window's first to its last.
        assert len(clips.gi_frame.f_locals["held"]) <= 8
    assert reader.asked == sorted(set(reader.asked))
    assert set(reader.asked) == {frame for window in windows for frame in window.frames.tolist()}


def test_frames_that_cannot_be_decoded_leave_windows_out_and_nothing_else():
    windows = SlidingWindows(clip_spec(4, 2), whole_video(90, 10.0), 0.8)
    stream = FrameStream(Counting(90, damaged=[48]), AS_IT_IS)
    lost = set(list(needed_frames(windows))[16:32])  # a chunk of 16 frames
    assert 48 in lost
    for window, clip in stream.clips(windows):
        assert (clip is None) == bool(lost & set(window.frames.tolist()))
    assert (stream.unread.frames, stream.unread.reason) == (CHUNK_FRAMES, "frame 48 is damaged")


@pytest.mark.parametrize("interval", [5, 300])
def test_a_video_is_decoded_straight_on_without_a_seek(interval, tmp_path, monkeypatch):
    write_video(tmp_path / "x.mp4", numbered(100), fps=10, keyframe_interval=interval)
    decoded, seeks = [], []
    decode, seek = NumberedPackets.decode, NumberedPackets.seek
    monkeypatch.setattr(
        NumberedPackets,
        "decode",
        lambda self, packet, skip_unreferenced=False: (
            decoded.append(packet and packet.pts) or decode(self, packet, skip_unreferenced)
        ),
    )
    monkeypatch.setattr(NumberedPackets, "seek", lambda self, key: seeks.append(key) or seek(self, key))
    with open_video(tmp_path / "x.mp4") as reader:
        # Opening has decoded the first frames to learn how large they are.
        reader.next_frames([0])
        decoded.clear()
        seeks.clear()
        spans = [range(start, start + 20, 2) for start in range(2, 100, 20)]
        shown = [number for span in spans for number in numbers(reader.next_frames(span[:9]))]
        assert shown == [number for span in spans for number in span[:9]]
        assert (len(decoded), seeks) == (len(set(decoded)), [])
        # Anywhere else, the nearest key frame is where decoding begins.
        assert numbers(reader.frames([8, 95])) == [8, 95]
        assert seeks


def test_a_far_frame_is_sought(tmp_path, monkeypatch):
    seeks = []
    seek = NumberedPackets.seek
    monkeypatch.setattr(NumberedPackets, "seek", lambda self, key: seeks.append(key.number) or seek(self, key))
    film(tmp_path / "x.mp4", np.concatenate([numbered(100)] * 4), interval=10)
    with open_video(tmp_path / "x.mp4") as reader:
        reader.next_frames([0])
        seeks.clear()
        reader.next_frames([240])
        reader.next_frames([395])
        assert seeks == []
        reader.frames([0])
        reader.next_frames([395])
        first, second = seeks
        assert (first, 385 <= second <= 395) == (0, True)


@pytest.mark.parametrize("crops", [1, 3])
def test_a_window_has_the_probabilities_of_a_video_of_its_frames(crops, tmp_path):
    """Prediction of the same frames, cut out of the video by hand, with one clip a video."""
    noise = np.random.default_rng(0).integers(0, 256, (31, 32, 48, 3), dtype=np.uint8)
    write_video(tmp_path / "x.mp4", noise, fps=10)
    predictor = brightness_predictor(crops=crops)
    with open_video(tmp_path / "x.mp4") as reader:
        windows = SlidingWindows(predictor.preprocessing.clip, whole_video(31, 10.0), 0.7)
        scorer = WindowScorer.of(predictor, crops)
        scored = list(scorer.score(FrameStream(reader, scorer.transform).clips(windows)))
        assert len(scored) == 5  # 0, 7, 14, 21, 23
        for window, row in scored:
            first = int(window.frames[0])
            alone = predictor.predict(reader.frames(range(first, first + 8)))
            assert dict(alone.top) == pytest.approx(dict(zip(("dark", "light"), row.tolist(), strict=True)), abs=1e-7)
    assert max(predictor.scorer.batches) <= 3


def test_unread_windows_keep_their_place_among_the_scored(tmp_path):
    write_levels(tmp_path / "x.mp4", (0, 20), (255, 20))
    predictor = brightness_predictor(batch=2)
    windows = list(SlidingWindows(predictor.preprocessing.clip, whole_video(40, 10.0), 0.8))
    clips = [torch.full((3, 4, 16, 16), 50 * number, dtype=torch.uint8) for number in range(5)]
    clips[0] = clips[3] = None
    scored = list(WindowScorer.of(predictor).score(zip(windows, clips, strict=True)))
    assert [window for window, _ in scored] == windows
    light = [None if row is None else round(float(row[1]) * 255) for _, row in scored]
    assert light == [None, 50, 100, None, 200]
    assert predictor.scorer.batches == [2, 1]
