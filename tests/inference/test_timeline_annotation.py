"""The copy of a video with labels: what is drawn where, and that the frames are those of the video."""

import dataclasses

import numpy as np
import pytest

from helpers.films import film
from helpers.timelines import brightness_predictor, flat
from video_rs.inference.timeline import annotation
from video_rs.inference.timeline.annotation import BACKGROUND, COLORS, UNSURE, Drawing, annotate, font, shortened_to
from video_rs.inference.timeline.making import make_timeline
from video_rs.inference.timeline.settings import TimelineSettings
from video_rs.video import open_video

FINE = TimelineSettings(stride=0.2, smoothing=0.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """2 s of dark, 3 s of light, 2 s of dark, 120 pixels high and 160 wide; and its timeline."""
    path = tmp_path_factory.mktemp("annotation") / "x.mp4"
    film(
        path,
        np.concatenate([flat(level, count, (120, 160)) for level, count in ((20, 20), (230, 30), (20, 20))]),
        base=10,
    )
    return make_timeline(brightness_predictor(), path, FINE)


def drawn(timeline, seconds, level=100):
    """A grey frame with what is shown at a time."""
    return Drawing(timeline, 120, 160).draw(flat(level, 1, (120, 160))[0], seconds)


def test_the_bar_has_a_column_for_each_time(made):
    frame = drawn(made, 1.0)
    bar = frame[-1]
    for column in range(0, 160, 10):
        seconds = 7 * (column + 0.5) / 160
        edges = [abs(seconds - edge) for segment in made.segments for edge in (segment.start, segment.end)]
        if min(edges) > 0.3 and abs(seconds - 1.0) > 0.2:
            label = next(s.label for s in made.segments if s.start <= seconds < s.end)
            assert tuple(bar[column]) == COLORS[label]
    # The place of the frame is white, and reaches over the bar.
    assert tuple(frame[-5, round(160 / 7)]) == (255, 255, 255)
    assert tuple(frame[-8, 80]) == (100, 100, 100)


def test_the_caption_is_that_of_the_time(made):
    dark, light = drawn(made, 1.0), drawn(made, 3.5)
    assert tuple(dark[2, 1]) == COLORS[0]
    assert tuple(light[2, 1]) == COLORS[1]
    assert (dark[:15, 5:] > 200).any()
    # Where there is no segment, nothing is drawn above the bar.
    nothing = drawn(dataclasses.replace(made, segments=made.segments[:1]), 3.5)
    assert (nothing[:100, :75] == 100).all()
    assert tuple(nothing[-1, 100]) == BACKGROUND


def test_what_is_unsure_is_grey(made):
    frame = drawn(dataclasses.replace(made, threshold=0.99), 1.0)
    assert tuple(frame[2, 1]) == UNSURE
    assert tuple(frame[-1, 5]) == UNSURE


def test_captions_that_are_too_long_are_cut():
    text = shortened_to("a very long name of a class that fits nowhere 50%", 12, 100)
    assert text.endswith("…")
    assert text.startswith("a very long")
    assert font(12).getlength(text) <= 100
    assert shortened_to("short", 12, 100) == "short"


def test_several_labels_stand_below_each_other(made):
    both = [dataclasses.replace(made.segments[0], label=label) for label in (0, 1)]
    frame = drawn(dataclasses.replace(made, segments=tuple(both)), 1.0)
    colors = {tuple(pixel) for pixel in frame[:40, 1]}
    assert {COLORS[0], COLORS[1]} <= colors


def test_the_copy_shows_the_frames_of_the_video(made, tmp_path, monkeypatch):
    monkeypatch.setattr(annotation, "AT_ONCE", 7)
    shown = []
    annotate(made, tmp_path / "copy.mp4", progress=lambda items, total: shown.append(total) or items)
    assert shown == [70]
    with open_video(tmp_path / "copy.mp4") as copy, open_video(made.video) as video:
        assert (copy.num_frames, copy.fps, copy.height, copy.width) == (70, 10, 120, 160)
        middle = slice(40, 100)
        original = video.frames(range(70))[:, middle].float()
        assert (copy.frames(range(70))[:, middle].float() - original).abs().mean() < 2


def test_odd_sizes_and_an_uneven_rate(tmp_path):
    """30 dark frames in 3 s, 10 light ones in 4 s: the copy has 40 frames at an even rate, light from 3 s on."""
    frames = np.concatenate([flat(20, 30, (33, 47)), flat(230, 10, (33, 47))])
    film(tmp_path / "x.mkv", frames, [*range(30), *range(30, 70, 4)], base=10, codec="mjpeg", pixel_format="yuvj444p")
    timeline = make_timeline(brightness_predictor(), tmp_path / "x.mkv", FINE)
    annotate(timeline, tmp_path / "copy.mp4")
    with open_video(tmp_path / "copy.mp4") as copy:
        assert (copy.height, copy.width) == (32, 46)
        assert copy.times is None
        levels = copy.frames(range(copy.num_frames))[:, 20:28].float().mean((1, 2, 3))
    first_light = int((levels > 120).nonzero()[0])
    assert first_light / copy.fps == pytest.approx(3.0, abs=2 / copy.fps)


def test_a_part_of_a_video(made, tmp_path):
    part = make_timeline(brightness_predictor(), made.video, FINE, start=3.0, end=6.0)
    annotate(part, tmp_path / "copy.mp4")
    with open_video(tmp_path / "copy.mp4") as copy:
        assert copy.num_frames == 30
        levels = copy.frames([5, 25])[:, 60].float().mean((1, 2))
    assert levels.tolist() == pytest.approx([230, 20], abs=8)


def test_a_single_row_of_pixels_is_doubled():
    assert annotation._even(np.zeros((1, 5, 3), np.uint8)).shape == (2, 4, 3)
    assert annotation._even(np.zeros((4, 1, 3), np.uint8)).shape == (4, 2, 3)
