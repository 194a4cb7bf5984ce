"""Live video: what an address names, frames and times of a stream, and what a broken one says."""

import itertools
import shutil
import wave

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.numbered_videos import numbered, numbers
from helpers.streams import as_mpegts, ffmpeg_serves, sending
from video_rs.video import DecodeError, open_video
from video_rs.video.encoding import write_video
from video_rs.video.live import LiveVideo, camera_file, is_live, stream_options, without_password
from video_rs.video.stream_state import StreamTimes

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="no ffmpeg")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("live") / "x.mp4"
    write_video(path, numbered(30), fps=10)
    return path


@pytest.mark.parametrize(
    ("address", "live"),
    [
        ("webcam", True),
        ("webcam:1", True),
        ("/dev/video0", True),
        ("rtsp://camera/stream", True),
        ("tcp://127.0.0.1:1", True),
        ("srt://x", True),
        ("webcam.mp4", False),
        ("http://host/x.mp4", False),
        ("videos/webcam", False),
        ("rtsp", False),
        ("x.mp4", False),
    ],
)
def test_what_is_live_by_its_address(address, live):
    assert is_live(address) == live


@pytest.mark.parametrize(
    ("name", "system", "file"),
    [
        ("", "linux", ("/dev/video0", "v4l2")),
        ("2", "linux", ("/dev/video2", "v4l2")),
        ("/dev/video7", "linux", ("/dev/video7", "v4l2")),
        ("", "darwin", ("0", "avfoundation")),
        ("1", "darwin", ("1", "avfoundation")),
        ("Integrated Camera", "win32", ("video=Integrated Camera", "dshow")),
    ],
)
def test_the_file_of_a_camera(name, system, file):
    assert camera_file(name, system) == file


def test_a_camera_of_windows_has_a_name():
    with pytest.raises(DecodeError, match=r"^cannot decode webcam: on Windows, name the camera: webcam:NAME$"):
        camera_file("", "win32")


def test_rtsp_comes_over_tcp():
    assert stream_options("rtsp://x") == {"rtsp_transport": "tcp"}
    assert stream_options("tcp://x") == {}


def test_a_password_is_not_shown():
    assert without_password("rtsp://me:secret@camera:554/x") == "rtsp://me:***@camera:554/x"
    assert without_password("rtsp://camera:554/a:b@c") == "rtsp://camera:554/a:b@c"
    with pytest.raises(DecodeError) as caught:
        LiveVideo("rtsp://me:secret@127.0.0.1:1/x")
    assert str(caught.value) == "cannot decode rtsp://me:***@127.0.0.1:1/x: connection refused"


def test_frames_and_times_are_those_of_the_file(clip):
    with LiveVideo(str(clip)) as video, open_video(clip) as reader:
        assert video.fps == 10
        frames = [(frame.seconds, frame.picture().clone()) for frame in video]
        assert [seconds for seconds, _ in frames] == pytest.approx([number / 10 for number in range(30)])
        assert torch.equal(torch.stack([picture for _, picture in frames]), reader.frames(range(30)))


@needs_ffmpeg
def test_a_stream_that_ffmpeg_serves(clip):
    with ffmpeg_serves(clip) as address, LiveVideo(address) as video:
        shown = [(round(frame.seconds, 3), numbers(frame.picture()[None])[0]) for frame in video]
    assert shown == [(round(number / 10, 3), number) for number in range(30)]


@needs_ffmpeg
def test_damaged_frames_are_left_out(clip):
    data = bytearray(as_mpegts(clip))
    # Packets of 188 bytes; those in the middle are lost.
    middle = len(data) // 188 // 2 * 188
    del data[middle : middle + 188 * 20]
    with sending(bytes(data)) as address, LiveVideo(address) as video:
        shown = [numbers(frame.picture()[None])[0] for frame in video]
    # Key frames are 0, 8, 16 and 24. Packets of frames 13 to 22 are lost. Of the others, 12 is decoded from 14, and
    # nothing behind it is whole before the next key frame.
    assert shown == [*range(12), *range(24, 30)]
    assert video.damaged == 6


def test_frames_of_another_size_are_scaled_to_the_first(tmp_path):
    """A Motion JPEG stream may change the size of its pictures at any frame."""
    with open(tmp_path / "x.mjpeg", "wb") as file:
        for size in (16, 16, 32, 32):
            Image.fromarray(np.full((size, size * 2, 3), 90, np.uint8)).save(file, "JPEG")
    with LiveVideo(str(tmp_path / "x.mjpeg")) as video:
        assert [tuple(frame.picture().shape) for frame in video] == [(16, 32, 3)] * 4


def test_nothing_is_there(tmp_path):
    with pytest.raises(DecodeError, match=r"no\.mp4: no such file or directory$"):
        LiveVideo(str(tmp_path / "no.mp4"))
    with wave.open(str(tmp_path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    with pytest.raises(DecodeError, match=r"sound\.wav: no video stream$"):
        LiveVideo(str(tmp_path / "sound.wav"))


class Stated:
    def __init__(self, time):
        self.time = time


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ([100.0, 100.1, 100.3], [0, 0.1, 0.3]),
        ([None, None, None], [0, 0.1, 0.2]),
        ([5.0, 5.1, 0.0, 0.1], [0, 0.1, 0.2, 0.3]),  # a file that is sent again
        ([5.0, 5.1, 5.1, 5.2], [0, 0.1, 0.2, 0.3]),
        ([5.0, 5.1, 999.0, 999.5], [0, 0.1, 0.2, 0.7]),  # a jump
        ([5.0, 8.0], [0, 3.0]),  # a pause
    ],
)
def test_times_never_run_backwards(stated, seconds):
    times = StreamTimes(10)
    assert [times.of(Stated(time)) for time in stated] == pytest.approx(seconds)


def test_a_rate_that_is_none_is_the_usual_one(clip, monkeypatch):
    rates = itertools.cycle([0])
    stream = type("Stream", (), {"average_rate": property(lambda self: next(rates)), "guessed_rate": 90000})()
    stream.codec_context = type("Context", (), {"thread_count": 0})()
    monkeypatch.setattr("video_rs.video.live.video_streams", lambda container, path: [stream])
    assert LiveVideo(str(clip)).fps == 25


@needs_ffmpeg
def test_a_stream_that_falls_silent_is_dropped(clip):
    """The server keeps the connection, and says no more."""
    with sending(as_mpegts(clip), hold=True) as address, LiveVideo(address, silence=0.5) as video:
        seen = []
        with pytest.raises(DecodeError) as caught:
            seen.extend(frame.seconds for frame in video)
    assert len(seen) > 20
    assert str(caught.value) == f"cannot decode {address}: nothing came for 0.5 s"
