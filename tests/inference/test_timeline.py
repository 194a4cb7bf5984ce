"""The timeline of a file whose truth is known, and what it is written as."""

import csv
import json

import numpy as np
import pytest

from helpers.films import film
from helpers.timelines import LABELS, brightness_predictor, flat, write_damaged, write_levels
from video_rs.inference.timeline.files import clock, write_files
from video_rs.inference.timeline.making import make_timeline
from video_rs.inference.timeline.segments import Segment, SegmentRules
from video_rs.inference.timeline.settings import TimelineSettings
from video_rs.inference.timeline.timeline import Timeline
from video_rs.inference.timeline.window_log import WindowLog
from video_rs.lists.records import read_records
from video_rs.video import DecodeError, open_video

# Windows of 4 frames, 2 apart, at 10 per second: 0.8 s. With a stride of 0.2 s a change shows within 0.1 s.
FINE = TimelineSettings(stride=0.2, smoothing=0.0)


@pytest.fixture(scope="module")
def levels(tmp_path_factory):
    """2 s of dark, 3 s of light, 2 s of dark."""
    return write_levels(tmp_path_factory.mktemp("levels") / "x.mp4", (20, 20), (230, 30), (20, 20))


def test_segments_are_where_the_film_shows_their_class(levels):
    timeline = make_timeline(brightness_predictor(), levels, FINE)
    assert (timeline.start, timeline.end, timeline.seconds) == (0, 7, 7)
    found = [(segment.label, segment.start, segment.end) for segment in timeline.segments]
    assert [label for label, _, _ in found] == [0, 1, 0]
    edges = [start for _, start, _ in found] + [found[-1][2]]
    assert edges == pytest.approx([0, 2, 5, 7], abs=0.2)
    # Each begins where the one before has ended.
    assert [end for _, _, end in found[:-1]] == edges[1:-1]
    assert all(segment.score > 0.8 for segment in timeline.segments)


def test_a_part_of_a_video_has_the_times_of_the_video(levels):
    timeline = make_timeline(brightness_predictor(), levels, FINE, start=3.0, end=6.0)
    assert (timeline.start, timeline.end) == (3, 6)
    assert [(s.label, round(s.start, 3), round(s.end, 3)) for s in timeline.segments] == [
        (1, 3, pytest.approx(5, abs=0.2)),
        (0, pytest.approx(5, abs=0.2), 6),
    ]
    with pytest.raises(DecodeError, match=r"segment 8\.0\.\.end s holds no frame: the video has 70 frames at 10 per"):
        make_timeline(brightness_predictor(), levels, FINE, start=8.0)


def test_stride_and_smoothing_are_half_a_window_and_a_window_by_default(levels):
    timeline = make_timeline(brightness_predictor(), levels, TimelineSettings())
    assert (timeline.stride, timeline.smoothing) == (0.4, 0.8)
    assert np.diff(timeline.windows.starts).round(6).tolist() == [0.4] * 15 + [0.2]
    # The mean over three windows.
    raw, smooth = timeline.windows.best.curve(1), timeline.windows.smoothed.curve(1)
    assert smooth[1:-1] == pytest.approx((raw[:-2] + raw[1:-1] + raw[2:]) / 3, abs=1e-6)


def test_three_crops_are_averaged(levels):
    """The film is 24 wide and 16 high: three crops of 16 x 16."""
    predictor = brightness_predictor(crops=3, batch=6)
    make_timeline(predictor, levels, TimelineSettings(crops=3))
    assert set(predictor.scorer.batches) <= {6, 3}
    assert sum(predictor.scorer.batches) == 3 * 17


def test_several_classes_may_be_shown_at_a_time(tmp_path):
    write_levels(tmp_path / "x.mp4", (127, 30))
    rules = TimelineSettings(on=0.45)
    both = make_timeline(brightness_predictor(multi_label=True), tmp_path / "x.mp4", rules)
    assert [(s.label, s.start, s.end) for s in both.segments] == [(0, 0, 3), (1, 0, 3)]
    one = make_timeline(brightness_predictor(), tmp_path / "x.mp4", rules)
    assert [(s.label, s.start, s.end) for s in one.segments] == [(0, 0, 3)]


def test_times_of_a_video_of_variable_rate_are_those_of_its_frames(tmp_path):
    """30 dark frames in 3 s, then 30 light ones in 12 s."""
    pts = [*range(30), *range(30, 150, 4)]
    film(tmp_path / "x.mkv", np.concatenate([flat(20, 30), flat(230, 30)]), pts, base=10)
    with open_video(tmp_path / "x.mkv") as reader:
        assert reader.times is not None
    timeline = make_timeline(brightness_predictor(), tmp_path / "x.mkv", TimelineSettings(stride=0.1, smoothing=0))
    dark, light = timeline.segments
    assert (dark.label, light.label) == (0, 1)
    assert dark.end == light.start == pytest.approx(3.0, abs=1.0)
    assert light.end == pytest.approx(timeline.end) == pytest.approx(14.6, abs=0.5)


def test_damage_leaves_a_gap_and_its_reason(tmp_path):
    write_damaged(tmp_path / "x.mp4")
    timeline = make_timeline(brightness_predictor(), tmp_path / "x.mp4", FINE)
    assert 0 < timeline.windows.unread < 40
    assert timeline.unread.startswith("frame ")
    first, second = timeline.segments
    assert (first.label, second.label, first.start, second.end) == (0, 0, 0, 20)
    assert 5 < first.end < second.start < 15
    gap = np.isnan(timeline.windows.best.scores[:, 0])
    inside = (timeline.windows.centres > first.end) & (timeline.windows.centres < second.start)
    assert gap.tolist() == inside.tolist()


@pytest.fixture
def made():
    """A timeline of an hour and more, with an unsure segment and a label that means something in subtitles."""
    log = WindowLog(3)
    log.add(0, 2, np.array([0.1, 0.7, 0.2], np.float32), np.array([0.1, 0.7, 0.2], np.float32))
    log.add(1, 3, None, None)
    segments = (Segment(0.0, 2.5, 1, 0.7), Segment(3723.4567, 7200.9996, 2, 0.456789))
    names = ("a", "sit & <wave>", "fall, or lie")
    rules = SegmentRules(0.5, 0.3, 1.0)
    return Timeline("x, y.mp4", 0, 7201, 25.0, names, rules, 2.0, 1.0, 0.5, log.table(), segments, "frame 7 is damaged")


def test_the_files_of_a_timeline(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = write_files(tmp_path / "new" / "out", made)
    assert [path.name for path in paths] == ["timeline.json", "segments.csv", "segments.srt", "segments.vtt"]
    texts = {path.suffix: path.read_text() for path in paths}
    assert json.loads(texts[".json"]) == {
        "video": "x, y.mp4",
        "start": 0,
        "end": 7201,
        "stride": 1,
        "smoothing": 2,
        "on": 0.5,
        "off": 0.3,
        "shortest": 1,
        "threshold": 0.5,
        "unread_windows": 1,
        "unread": "frame 7 is damaged",
        "segments": [
            {"start": 0, "end": 2.5, "label": "sit & <wave>", "score": 0.7, "unsure": False},
            {"start": 3723.4567, "end": 7200.9996, "label": "fall, or lie", "score": 0.456789, "unsure": True},
        ],
        "windows": [
            {
                "start": 0,
                "end": 2,
                "top": [
                    {"label": "sit & <wave>", "score": 0.7},
                    {"label": "fall, or lie", "score": 0.2},
                    {"label": "a", "score": 0.1},
                ],
            },
            {"start": 1, "end": 3, "top": []},
        ],
    }
    assert list(csv.reader(texts[".csv"].splitlines())) == [
        ["path", "start", "end", "label", "score", "unsure"],
        [f"{tmp_path}/x, y.mp4", "0.000", "2.500", "sit & <wave>", "0.7000", "no"],
        [f"{tmp_path}/x, y.mp4", "3723.457", "7201.000", "fall, or lie", "0.4568", "yes"],
    ]
    assert texts[".srt"] == (
        "1\n00:00:00,000 --> 00:00:02,500\nsit & <wave> 70%\n\n2\n01:02:03,457 --> 02:00:01,000\nunsure 46%\n"
    )
    assert texts[".vtt"] == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nsit &amp; &lt;wave&gt; 70%\n\n"
        "01:02:03.457 --> 02:00:01.000\nunsure 46%\n"
    )


def test_the_segments_are_a_list_that_training_takes(levels, tmp_path, monkeypatch):
    """Wherever the list lies, and however the video was named."""
    monkeypatch.chdir(levels.parent)
    timeline = make_timeline(brightness_predictor(), levels.name, FINE)
    write_files(tmp_path, timeline)
    records = read_records(str(tmp_path / "segments.csv"), label_names=LABELS)
    assert [(r.labels[0], r.path) for r in records.records] == [(s.label, str(levels)) for s in timeline.segments]
    assert [r.start for r in records.records] == pytest.approx([s.start for s in timeline.segments], abs=1e-3)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00.000"), (59.9996, "00:01:00.000"), (3599.9994, "00:59:59.999"), (86400.25, "24:00:00.250")],
)
def test_times_on_the_clock(seconds, text):
    assert clock(seconds, ".") == text
