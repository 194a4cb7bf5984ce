"""One file encoded again: the source's frames, each once, in their order, at their times."""

from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from helpers.films import film, shown, small_numbers
from helpers.numbered_videos import numbered, numbers, picture_folder
from helpers.programs import PROGRAMS
from video_rs.curation.prepare.copy_plan import shrunk
from video_rs.curation.prepare.reencoding import reencode
from video_rs.runtime.errors import InputError
from video_rs.video import DecodeError, open_video


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("b_frames.mp4", {"options": {"bf": "3", "b_strategy": "0"}}),
        ("sound.mp4", {"audio": True}),
        ("open.mkv", {"codec": "libx265", "options": {"x265-params": "log-level=none:open-gop=1:bframes=2"}}),
        ("transport.ts", {"options": {"bf": "2"}}),
        ("no_times.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
        ("web.webm", {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}}),
        ("flash.flv", {"base": 1000, "pts": 40 * np.arange(40)}),
    ],
)
def test_every_frame_once_in_its_order(tmp_path, program, name, settings):
    source = film(tmp_path / name, numbered(40), **settings)
    reencode(source, tmp_path / "copy.mp4", short_side=24, keyframe_interval=6, program=program)
    seconds, pixels = shown(tmp_path / "copy.mp4")
    assert pixels.shape == (40, 24, 56, 3)
    assert small_numbers(pixels) == list(range(40))
    # Matroska and FLV round each time to a millisecond; the others' are exact.
    allowed = 0.0005 if name.endswith((".mkv", ".webm", ".flv")) else 0
    assert max(abs(second - Fraction(number, 25)) for number, second in enumerate(seconds)) <= allowed
    with open_video(source) as before, open_video(tmp_path / "copy.mp4") as after:
        assert after.num_frames == before.num_frames
        assert after.fps == pytest.approx(before.fps, rel=1e-9)
    with av.open(str(tmp_path / "copy.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video"]
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"
    keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    assert max(np.diff([*keys, 40])) <= 6
    assert all(packet.pts == packet.dts for packet in packets)  # no B-frames


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("stride", "interval"), [(2, 6), (3, 12)])
def test_only_frames_of_the_stride_have_to_be_decoded(tmp_path, program, stride, interval):
    """Whole scenes change in the middle of a group, which would draw a key frame or other B-frames."""
    pictures = numbered(40)
    pictures[9:16] = 255 - pictures[9:16]
    source = film(tmp_path / "a.mp4", pictures)
    reencode(source, tmp_path / "copy.mp4", short_side=48, keyframe_interval=interval, stride=stride, program=program)

    def picture_numbers(**options) -> list[int]:
        with av.open(str(tmp_path / "copy.mp4")) as container:
            stream = container.streams.video[0]
            stream.codec_context.skip_frame = options.get("skip", "DEFAULT")
            return [round(frame.time * 25) for frame in container.decode(stream)]

    assert picture_numbers() == list(range(40))
    # Before a key frame, and at the end, there is nothing that a B-frame could be predicted from.
    ends = {*range(interval - 1, 40, interval), 39}
    assert set(picture_numbers(skip="NONREF")) == {*range(0, 40, stride)} | ends
    assert picture_numbers(skip="NONKEY") == list(range(0, 40, interval))
    with open_video(source) as before, open_video(tmp_path / "copy.mp4") as after:
        wanted = [*range(0, 9, stride), *range(18, 40, stride)]
        assert numbers(after.frames(wanted)) == numbers(before.frames(wanted)) == wanted


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_variable_rate_keeps_each_time(tmp_path, program):
    pts = np.cumsum(np.random.default_rng(0).integers(1, 9, 40)) + 700  # begins late
    source = film(tmp_path / "a.mp4", numbered(40), pts, options={"bf": "2"}, base=Fraction(30000, 1001))
    reencode(source, tmp_path / "copy.mp4", short_side=24, program=program)
    seconds, pixels = shown(tmp_path / "copy.mp4")
    assert small_numbers(pixels) == list(range(40))
    assert seconds == [Fraction(int(time - pts[0]) * 1001, 30000) for time in pts]
    with open_video(source) as before, open_video(tmp_path / "copy.mp4") as after:
        assert after.fps == before.fps


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_rotation_is_applied_and_then_gone(tmp_path, program, degrees):
    upright = numbered(12, height=96)
    stored = np.rot90(upright, -degrees // 90, axes=(1, 2)).copy()
    source = film(tmp_path / "a.mp4", stored, degrees=degrees)
    reencode(source, tmp_path / "copy.mp4", short_side=48, program=program)
    _, pixels = shown(tmp_path / "copy.mp4")
    assert pixels.shape == (12, 48, 56, 3)
    assert small_numbers(pixels) == list(range(12))
    with open_video(source) as reader:
        assert (reader.height, reader.width) == (96, 112)


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_an_edit_list_discards_stays_away(tmp_path, program):
    source = film(tmp_path / "a.mp4", numbered(40), np.arange(40) - 5, options={"bf": "0"})
    with open_video(source) as reader:
        assert reader.num_frames == 35
    reencode(source, tmp_path / "copy.mp4", short_side=24, program=program)
    assert small_numbers(shown(tmp_path / "copy.mp4")[1]) == list(range(5, 40))


@pytest.mark.parametrize("program", PROGRAMS)
def test_odd_sizes_lose_a_pixel_and_no_video_is_enlarged(tmp_path, program):
    pictures = numbered(10)[:, :47, :111]
    film(tmp_path / "odd.mkv", pictures, pixel_format="yuv444p", aspect=Fraction(4, 3))
    reencode(tmp_path / "odd.mkv", tmp_path / "copy.mp4", short_side=320, program=program)
    _, pixels = shown(tmp_path / "copy.mp4")
    assert pixels.shape == (10, 46, 110, 3)
    assert numbers(pixels) == list(range(10))
    with av.open(str(tmp_path / "copy.mp4")) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((1080, 1920), 320, (320, 568)),
        ((1920, 1080), 256, (456, 256)),
        ((256, 340), 256, (256, 340)),
        ((121, 161), 320, (120, 160)),
        ((257, 1000), 256, (256, 996)),
        ((1, 1), 256, (2, 2)),
        ((4000, 10), 2, (800, 2)),
    ],
)
def test_sizes(size, short_side, expected):
    assert shrunk(*size, short_side) == expected


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("codec", "pixel_format", "matrix"),
    [
        ("libx264", "yuv420p", 1),  # BT.709
        ("libx264", "yuv420p", 6),  # BT.601
        ("libx264", "yuv420p", 2),  # it says nothing
        ("mjpeg", "yuvj420p", 6),
        ("libx264rgb", "rgb24", 0),
    ],
)
def test_colours_stay(tmp_path, program, codec, pixel_format, matrix):
    colour = np.array([200, 60, 30], np.uint8)
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 32, pixel_format
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 1 if pixel_format == "yuv420p" else 2
        frame = av.VideoFrame.from_ndarray(np.broadcast_to(colour, (32, 32, 3)).copy(), "rgb24")
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    reencode(path, tmp_path / "copy.mp4", short_side=16, program=program)
    with open_video(path) as before, open_video(tmp_path / "copy.mp4") as after:
        # Two conversions of 8 bits and an encoder at crf 18; another matrix or range is 10 levels and more away.
        difference = before.frames([0])[0, 16, 16].int() - after.frames([0])[0, 8, 8].int()
    assert difference.abs().max() <= 4


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_file_cut_short_or_damaged_leaves_nothing(tmp_path, program):
    data = film(tmp_path / "a.mp4", numbered(40), interval=10).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[:-300])
    late = len(data) * 9 // 10
    (tmp_path / "damaged.mp4").write_bytes(data[:late] + bytes(200) + data[late + 200 :])
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DecodeError, match=r"truncated: \d+ of 40 frames are behind the end"):
        reencode(tmp_path / "cut.mp4", out / "copy.mp4", short_side=24, program=program)
    message = r"frame [1-9]\d* of 40: " if program == "pyav" else "ffmpeg: "
    with pytest.raises(InputError, match=message):
        reencode(tmp_path / "damaged.mp4", out / "copy.mp4", short_side=24, program=program)
    assert list(out.iterdir()) == []


def test_odd_pictures(tmp_path):
    picture_folder(tmp_path / "in", 3)
    for path in (tmp_path / "in").iterdir():
        Image.open(path).crop((0, 0, 111, 47)).save(path)
    reencode(tmp_path / "in", tmp_path / "copy.mp4", short_side=320)
    _, pixels = shown(tmp_path / "copy.mp4")
    assert pixels.shape == (3, 46, 110, 3)
    assert numbers(pixels) == [0, 1, 2]


@pytest.mark.parametrize(
    ("pts", "message"),
    [
        (range(9), "pyav wrote 9 frames of 10"),
        ([*range(9), 18], "pyav wrote frame 9 of 10 0.36 s from its time"),
    ],
)
def test_a_copy_with_other_frames_is_no_copy(tmp_path, monkeypatch, pts, message):
    """The check reads the file that was written, whatever wrote it."""

    def other(plan, path, interval, crf, stride):
        film(path, numbered(len(pts)), pts)

    film(tmp_path / "a.mp4", numbered(10))
    monkeypatch.setattr("video_rs.curation.prepare.reencoding.encode_with_pyav", other)
    with pytest.raises(InputError, match=message):
        reencode(tmp_path / "a.mp4", tmp_path / "copy.mp4", short_side=24)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_part_of_a_shard_is_reencoded_as_its_file_is(tmp_path, program):
    film(tmp_path / "a.mp4", numbered(6))
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "s.tar").write_bytes(bytes(512) + data + bytes(512))
    for source, name in ((tmp_path / "a.mp4", "file.mp4"), (f"{tmp_path}/s.tar#512+{len(data)}", "part.mp4")):
        reencode(source, tmp_path / name, short_side=24, program=program)
    assert (tmp_path / "part.mp4").read_bytes() == (tmp_path / "file.mp4").read_bytes()
