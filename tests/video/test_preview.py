"""Small copies of videos for browsers."""

import pytest

from helpers.films import shown
from helpers.numbered_videos import numbered, numbers
from video_rs.video import DecodeError, open_video
from video_rs.video import preview as module
from video_rs.video.encoding import write_video
from video_rs.video.preview import preview


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("preview") / "film.mp4"
    write_video(path, numbered(40), fps=10)
    return path


def made(path, tmp_path, **part):
    with open_video(path) as reader:
        content = preview(reader, str(path), **part)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(content)
    return shown(copy)


def test_all_frames_are_there_at_their_times(film, tmp_path):
    seconds, pixels = made(film, tmp_path)
    assert numbers(pixels) == list(range(40))
    assert [round(float(second), 3) for second in seconds] == [number / 10 for number in range(40)]
    assert pixels.shape[1:3] == (48, 112)


def test_a_part_is_that_part(film, tmp_path):
    assert numbers(made(film, tmp_path, start=1.0, end=2.5)[1]) == list(range(10, 25))


def test_a_long_video_is_thinned_and_in_real_time(film, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "FRAMES", 10)
    seconds, pixels = made(film, tmp_path)
    assert numbers(pixels) == list(range(0, 40, 4))
    # Two and a half frames a second.
    assert [round(float(second), 3) for second in seconds] == [round(number * 0.4, 3) for number in range(10)]


def test_a_very_long_one_is_played_faster(film, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 2.0)
    seconds, pixels = made(film, tmp_path)
    assert numbers(pixels) == list(range(40))
    assert round(float(seconds[-1]), 3) == 1.95


def test_large_frames_are_shrunk_and_decoded_some_at_a_time(film, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEIGHT", 25)
    monkeypatch.setattr(module, "_CHUNK_BYTES", 3 * 48 * 112 * 3)
    pixels = made(film, tmp_path)[1]
    assert pixels.shape == (40, 24, 58, 3)
    assert numbers(pixels[:, :, 1:57]) == list(range(40))


def test_no_frame_in_the_part_is_said(film, tmp_path):
    with pytest.raises(DecodeError, match="start"):
        made(film, tmp_path, start=9.0)
