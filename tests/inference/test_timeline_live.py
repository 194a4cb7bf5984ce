"""Live timelines: the windows of a stream, frames that are dropped and counted, gaps, and connections that break."""

import dataclasses
import shutil
import threading

import pytest
import torch

from helpers.streams import Connection, Frame, as_mpegts, ffmpeg_serves, sending
from helpers.timelines import Brightness, brightness_predictor, write_levels
from video_rs.data.eval_transform import EvalTransform
from video_rs.data.preprocessing import ClipSpec
from video_rs.inference.timeline import live
from video_rs.inference.timeline.live import LiveSettings, LiveTimeline
from video_rs.inference.timeline.live_reading import LiveReader
from video_rs.inference.timeline.live_windows import LivePlan, LiveWindows, Wait
from video_rs.inference.timeline.making import make_timeline
from video_rs.inference.timeline.settings import TimelineSettings
from video_rs.inference.timeline.windows import SlidingWindows
from video_rs.runtime.errors import InputError
from video_rs.video import DecodeError
from video_rs.video.segments import whole_video

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg")
TRANSFORM = EvalTransform(16, 16, 1, antialias=False)
EVERYTHING = LiveSettings(lag=1000, reconnects=0)
FINE = TimelineSettings(stride=0.2, smoothing=0.0)


def plan(frames=4, rate=2, fps=10.0, stride=0.4, lag=1000.0, **clip):
    spec = {"short_video": "wrap", "clip_sampler": "frames", **clip}
    return LivePlan.of(ClipSpec(frames, rate, **spec), fps, stride, lag)


def level(number):
    return torch.full((3, 2, 2), number % 256, dtype=torch.uint8)


def taken(windows):
    """What there is to take without waiting: levels of clips, or why there is none."""
    found = []
    while True:
        clip = windows.take(0)
        if clip in (Wait.NOT_YET, Wait.END):
            return found, clip
        found.append(clip if clip is Wait.GAP else clip.clip[0, :, 0, 0].tolist())


@pytest.mark.parametrize("clip", [{}, {"target_fps": 5.0}, {"clip_sampler": "pytorchvideo"}])
@pytest.mark.parametrize("stride", [0.2, 0.4, 2.0])
def test_windows_of_a_stream_are_those_of_a_file(clip, stride):
    """At 10 frames per second, and ticks of 0.1 or 0.2 s."""
    live = plan(stride=stride, **clip)
    windows = LiveWindows(live)
    spec = ClipSpec(4, 2, **{"short_video": "wrap", "clip_sampler": "frames", **clip})
    expected = [window.frames.tolist() for window in SlidingWindows(spec, whole_video(200, 10.0), stride)]
    per_tick = round(10 / live.rate)
    found = []
    for tick in range(200 // per_tick):
        # The frame on the screen in the middle of the tick.
        windows.add(tick, tick + 1, level(tick * per_tick + per_tick // 2))
        while not isinstance(clip_of := windows.take(0), Wait):
            assert clip_of.window.start == pytest.approx(len(found) * stride)
            assert clip_of.window.end == pytest.approx(len(found) * stride + live.ticks / live.rate)
            found.append(clip_of.clip[0, :, 0, 0].tolist())
        assert len(windows._held) <= live.ticks
    # A stream does not know its end: no window ends with it, and the last one waits for nothing behind its frames.
    assert found[: len(expected)] == expected[: len(found)]
    assert abs(len(expected) - len(found)) <= 1
    assert windows.dropped == 0


def test_frames_that_nobody_took_in_time_are_dropped_and_counted():
    """Windows of ticks 0, 2, 4, 6 from every fourth tick on; the lag is 10 ticks."""
    windows = LiveWindows(plan(lag=1.0))
    for tick in range(7):
        windows.add(tick, tick + 1, level(tick))
    assert taken(windows)[0] == [[0, 2, 4, 6]]
    for tick in range(7, 41):
        windows.add(tick, tick + 1, level(tick))
    # The newest frame is 40; the oldest window that the lag allows ends with tick 30, and is that of 24.
    found, why = taken(windows)
    assert found[0] == [24, 26, 28, 30]
    assert found[-1] == [32, 34, 36, 38]
    assert why is Wait.NOT_YET
    # Needed are even ticks; those before 24 that no window had.
    assert windows.dropped == len(range(8, 24, 2))


def test_memory_is_bounded_where_nobody_takes():
    windows = LiveWindows(plan(lag=1.0))
    for tick in range(1000):
        windows.add(tick, tick + 1, level(tick))
        assert len(windows._held) <= 9  # even ticks of 10 + 8
    assert windows.dropped == 500 - 9


def test_with_a_stride_over_the_lag_the_newest_window_is_next():
    windows = LiveWindows(plan(stride=3.0, lag=0.5))
    for tick in range(100):
        windows.add(tick, tick + 1, level(tick))
    # Windows of 0, 30, 60 and 90, which is complete with 96: older than the lag allows is only what there is not.
    assert taken(windows)[0] == [[90, 92, 94, 96]]
    windows = LiveWindows(plan(stride=3.0, lag=0.5))
    for tick in range(67):
        windows.add(tick, tick + 1, level(tick))
    assert taken(windows)[0] == [[60, 62, 64, 66]]


def test_windows_with_missing_ticks_are_a_gap():
    windows = LiveWindows(plan())
    for tick in [*range(12), *range(30, 44)]:
        windows.add(tick, tick + 1, level(tick))
    windows.end()
    found, why = taken(windows)
    assert found[:2] == [[0, 2, 4, 6], [4, 6, 8, 10]]
    assert set(map(str, found[2:-2])) == {str(Wait.GAP)}
    assert found[-2:] == [[32, 34, 36, 38], [36, 38, 40, 42]]
    assert (why, windows.dropped) == (Wait.END, 0)


class Recorder(LiveWindows):
    """Windows that remember which level was on the screen at which tick."""

    def __init__(self, live):
        super().__init__(live)
        self.ticks = {}

    def add(self, first, stop, frame):
        for tick in range(first, stop):
            assert tick not in self.ticks
            self.ticks[tick] = int(frame[0, 0, 0])


def read(*connections, fps=10.0, reconnects=0, target_fps=0.0):
    """A reader that has read these connections, and the level at each tick of its windows."""
    windows = Recorder(plan(4, 1, fps, stride=0.1, target_fps=target_fps))
    left = list(connections[1:])

    def connect():
        if not left:
            raise DecodeError("x", "nobody is there")
        return left.pop(0)

    reader = LiveReader(connections[0], connect, windows, TRANSFORM, reconnects)
    reader._thread.join(30)
    assert all(connection.closed for connection in connections)
    return reader, windows.ticks


def test_the_frame_of_a_tick_is_the_one_on_the_screen_in_its_middle():
    times = [0.0, 0.1, 0.26, 0.3, 0.44, 0.46]
    _, ticks = read(Connection(10.0, [Frame(time, number) for number, time in enumerate(times)]))
    assert ticks == {0: 0, 1: 1, 2: 1, 3: 3, 4: 4, 5: 5}


def test_a_slow_stream_repeats_frames_and_a_fast_one_leaves_some_out():
    slow = Connection(2.0, [Frame(0.5 * number, number) for number in range(3)])
    assert read(slow, fps=2.0, target_fps=10.0)[1] == {tick: tick // 5 for tick in range(15)}
    fast = Connection(30.0, [Frame(number / 30, number) for number in range(12)])
    reader, ticks = read(fast, fps=30.0, target_fps=10.0)
    assert ticks == {0: 1, 1: 4, 2: 7, 3: 10}
    assert (reader.frames, reader.ending) == (12, "the stream has ended")


def test_where_no_frame_comes_there_is_nothing_to_see():
    """A frame is taken to be on the screen for a second, and the last one for as long as frames are."""
    _, ticks = read(Connection(10.0, [Frame(0, 0), Frame(3.0, 1)]))
    assert ticks == {**dict.fromkeys(range(10), 0), 30: 1}


def test_a_broken_connection_is_made_again_up_to_the_limit():
    first = Connection(10.0, [Frame(0, 0), Frame(0.1, 1)], DecodeError("x", "connection reset"))
    second = Connection(10.0, [Frame(0, 2), Frame(0.1, 3)])
    reader, ticks = read(first, second, reconnects=1)
    assert (reader.frames, reader.reconnected, reader.ending) == (4, 1, "nobody is there")
    assert reader.news() == [
        "connection reset; connecting again (1 of 1)",
        "connected again",
        "the stream has ended; connecting again (1 of 1)",
    ]
    assert reader.news() == []
    assert list(ticks.values()) == [0, 2, 3]  # frame 1 was on the screen when the connection broke: for how long?
    assert list(ticks)[1] >= 1


class BadFrame(Frame):
    """A frame that cannot be made a picture."""

    def picture(self):
        raise ValueError("no such colours")


def test_a_fault_of_the_reading_thread_is_no_end_of_the_stream(monkeypatch):
    """What came before is kept, and whoever follows the stream gets to know."""
    frames = [Frame(number / 10, 230) for number in range(20)]
    connection = Connection(10.0, [*frames, BadFrame(2.0, 0), Frame(2.1, 0)])
    monkeypatch.setattr(live, "LiveVideo", lambda address: connection)
    with (
        pytest.raises(ValueError, match=r"^no such colours$"),
        LiveTimeline(brightness_predictor(), "tcp://x", FINE, EVERYTHING) as following,
    ):
        ended = [segment for segments in following for segment in segments]
    assert [segment.label for segment in ended] == [1]
    assert following.timeline().live.ending == ""
    assert connection.closed


def test_tries_without_a_frame_are_counted_together():
    empty = [Connection(10.0, []) for _ in range(2)]
    reader, ticks = read(Connection(10.0, [Frame(0, 7)]), *empty, reconnects=2)
    assert [line.split("(")[1] for line in reader.news()] == ["1 of 2)", "2 of 2)"]
    assert (reader.reconnected, ticks) == (0, {0: 7})


@pytest.fixture(scope="module")
def levels(tmp_path_factory):
    """2 s of dark, 3 s of light, 2 s of dark."""
    return write_levels(tmp_path_factory.mktemp("live") / "x.mp4", (20, 20), (230, 30), (20, 20))


def follow(predictor, address, live=EVERYTHING, settings=FINE):
    """The segments of a stream as they ended, and its timeline."""
    with LiveTimeline(predictor, address, settings, live) as following:
        ended = [segment for segments in following for segment in segments]
        return ended, following.timeline()


@needs_ffmpeg
def test_the_timeline_of_a_stream_is_that_of_the_file(levels):
    with ffmpeg_serves(levels) as address:
        ended, live = follow(brightness_predictor(), address)
    file = make_timeline(brightness_predictor(), levels, FINE)
    # A stream has no last window that ends with it; here the windows of the file end with it anyway.
    assert live.windows.starts == pytest.approx(file.windows.starts)
    assert live.windows.best.scores == pytest.approx(file.windows.best.scores, abs=1e-6)
    assert [dataclasses.astuple(segment) for segment in ended] == [
        pytest.approx(dataclasses.astuple(segment), abs=1e-6) for segment in file.segments
    ]
    assert live.segments == tuple(ended)
    facts = live.live
    assert (facts.frames, facts.dropped, facts.damaged, facts.reconnected) == (70, 0, 0, 0)
    assert facts.ending == "the stream has ended"
    assert (live.video, live.end) == (address, pytest.approx(7.0))


@needs_ffmpeg
def test_a_dropped_connection_goes_on_with_what_comes_next(levels):
    data = as_mpegts(levels)
    with sending(data, data) as address:
        ended, live = follow(brightness_predictor(), address, LiveSettings(lag=1000, reconnects=1))
    facts = live.live
    assert (facts.frames, facts.reconnected, facts.ending) == (140, 1, "connection refused")
    # Both times dark, light, dark: nothing joins what was before the connection broke and what came after it.
    assert [segment.label for segment in ended] == [0, 1, 0] * 2
    assert ended[2].end <= ended[3].start


class Slow(Brightness):
    """Scores the first views only when somebody says so."""

    def __init__(self):
        super().__init__()
        self.go = threading.Event()

    def __call__(self, views):
        assert self.go.wait(60)
        return super().__call__(views)


@needs_ffmpeg
def test_a_slow_network_drops_old_frames_and_says_how_many(levels):
    """While the first window is scored, all of the stream comes: only what the lag allows is left then."""
    predictor = brightness_predictor()
    predictor.scorer = Slow()
    with (
        ffmpeg_serves(levels) as address,
        LiveTimeline(predictor, address, FINE, LiveSettings(lag=1.0, reconnects=0)) as following,
    ):
        windows = following._windows
        threading.Thread(target=lambda: (windows_end(windows), predictor.scorer.go.set()), daemon=True).start()
        for _ in following:
            pass
        timeline = following.timeline()
    # 70 ticks. The windows begin each second tick; the last one ends with tick 68, and the lag is 10 ticks.
    scored = [round(start * 10) for start in timeline.windows.starts]
    assert scored[-6:] == [*range(52, 63, 2)]
    assert len(scored) <= 7
    shown = {start + offset for start in scored for offset in (0, 2, 4, 6)}
    assert timeline.live.frames == 70
    assert timeline.live.dropped == len(set(range(0, 70, 2)) - shown)
    assert timeline.live.dropped > 20


def windows_end(windows):
    """Wait until no frames come any more."""
    with windows._changed:
        windows._changed.wait_for(lambda: windows._ended, 60)


def test_a_stream_may_be_left_at_any_time(levels):
    with LiveTimeline(brightness_predictor(), str(levels), FINE, EVERYTHING) as following:
        for _ in following:
            if len(following.timeline().windows) >= 20:
                break
        # Light is on, and has not ended.
        before = following.timeline()
        assert [segment.label for segment in before.segments] == [0, 1]
        assert [segment.label for segment in following.finish()] == [1]
        assert [segment.label for segment in following.timeline().segments] == [0, 1]


def test_a_stream_is_followed_for_as_long_as_is_said(levels):
    _, timeline = follow(brightness_predictor(), str(levels), LiveSettings(lag=1000, reconnects=0, seconds=3.0))
    assert timeline.end == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lag": -1.0}, "--lag: got -1, allowed: seconds from 0"),
        ({"reconnects": -1}, "--reconnects: got -1, allowed: from 0"),
        ({"seconds": 0.0}, "--stop-after: got 0, allowed: seconds above 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(InputError) as caught:
        LiveSettings(**settings)
    assert str(caught.value) == message


def test_nobody_is_there():
    with pytest.raises(DecodeError, match=r"^cannot decode tcp://127\.0\.0\.1:1: connection refused$"):
        LiveTimeline(brightness_predictor(), "tcp://127.0.0.1:1", FINE, EVERYTHING)
