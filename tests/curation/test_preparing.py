"""Preparing videos as its user does it: every frame carries its number, and is read back with plain PyAV."""

import csv
import fcntl
import functools
import http.server
import json
import os
import runpy
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from helpers.numbered_videos import numbered, numbers
from helpers.programs import PROGRAMS
from helpers.tools import ROOT, ToolResult
from video_rs.curation.prepare.copy_plan import shrunk
from video_rs.curation.prepare.places import is_same_time, place_of
from video_rs.curation.prepare.reencoding import reencode
from video_rs.lists.records import read_records
from video_rs.runtime.errors import InputError
from video_rs.video import DecodeError, open_video
from video_rs.video.encoding import write_video

EDGE = Path(__file__).parents[3] / "shared" / "videos"


@pytest.fixture
def prepare(monkeypatch, capfd):
    """``prepare(*arguments)`` runs the script in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["prepare_videos.py", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            runpy.run_path(str(ROOT / "datasets" / "prepare_videos.py"), run_name="__main__")
        out, err = capfd.readouterr()
        return ToolResult(caught.value.code or 0, out, err)

    return call


def film(
    path,
    pictures,
    pts=None,
    *,
    codec="libx264",
    options=None,
    degrees=0,
    audio=False,
    interval=24,
    base=25,
    pixel_format="yuv420p",
    aspect=Fraction(1),
):
    """Encodes uint8 [T,H,W,3] at ``pts`` (units of 1 / ``base`` s; default: one after the other)."""
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=base, options=options or {})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = pixel_format
        stream.codec_context.sample_aspect_ratio = aspect
        stream.codec_context.gop_size = interval
        if degrees:
            stream.set_display_rotation(degrees)
        sound = container.add_stream("aac", rate=48000) if audio else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = number if pts is None else int(pts[number])
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            silence = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
            silence.sample_rate = 48000
            container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
    return path


def shown(path):
    """What a plain decode of the file shows: numbers, seconds from the first frame, and uint8 [T,H,W,3]."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        assert all(frame.rotation == 0 for frame in frames)
        pixels = torch.from_numpy(np.stack([frame.to_ndarray(format="rgb24") for frame in frames]))
        seconds = [(frame.pts - frames[0].pts) * frame.time_base for frame in frames]
    return seconds, pixels


def small_numbers(pixels):
    """The numbers on frames of half of the size of :func:`numbered`, 24 x 56."""
    return numbers(torch.repeat_interleave(torch.repeat_interleave(pixels, 2, dim=1), 2, dim=2))


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# -- One file: the source's frames, each once, in their order, at their times


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


# -- A data set


@pytest.fixture
def data_set(tmp_path):
    """Five rows of three videos of one name, one of them outside of the root; and a video that is none."""
    root, other = tmp_path / "root", tmp_path / "elsewhere"
    for number, folder in enumerate((root / "a", root / "b, c", other)):
        folder.mkdir(parents=True)
        film(folder / "x.mp4", numbered(10 + number))
    film(root / "a" / "x.avi", numbered(5), codec="mpeg4")
    (root / "broken.mp4").write_text("no video")
    lines = [
        "note,path,label,split,start,end,id",
        "n,a/x.mp4,walk,train,,,one",
        'n,"b, c/x.mp4",run;walk,val,0.1,0.3,two',
        f"n,{other}/x.mp4,run,train,,0.2,three",
        "n,broken.mp4,run,train,,,four",
        "n,a/../a/x.mp4,run,train,0.2,,five",
        "n,a/x.avi,run,train,,,six",
    ]
    (root / "list.csv").write_text("\n".join(lines) + "\n")
    return root


def test_a_data_set_is_prepared_and_then_skipped(prepare, data_set, tmp_path):
    out = tmp_path / "out"
    told = prepare(data_set / "list.csv", "--out", out, "--short-side", 24, "--processes", 2)
    assert (told.code, told.err) == (2, f"error: 1 of 5 files could not be prepared; {out}/failures.csv says why\n")
    assert told.out.startswith("4 files prepared, 0 skipped (done before), 1 failed, ")
    assert " files/s; " in told.out
    assert " MB are now " in told.out
    elsewhere = f"outside{tmp_path}/elsewhere/x.mp4"
    assert (out / "list.csv").read_text().splitlines() == [
        "path,label,split,start,end,id",
        "videos/a/x.mp4,walk,train,,,one",
        '"videos/b, c/x.mp4",run;walk,val,0.1,0.3,two',
        f"{elsewhere},run,train,,0.2,three",
        "videos/a/x.mp4,run,train,0.2,,five",
        "videos/a/x.avi.mp4,run,train,,,six",
    ]
    (failed,) = table(out / "failures.csv")
    assert failed == {"path": f"{data_set}/broken.mp4", "reason": "invalid data found when processing input"}
    for record, count in zip(read_records(out / "list.csv", split="train").records, (10, 12, 10, 5), strict=True):
        assert small_numbers(shown(record.path)[1]) == list(range(count))
    assert small_numbers(shown(out / "videos" / "b, c" / "x.mp4")[1]) == list(range(11))
    assert sorted(path.name for path in out.iterdir() if path.name != ".lock") == [
        "failures.csv",
        "list.csv",
        "outside",
        "prepared.json",
        "videos",
    ]

    made = {path: path.stat().st_ctime_ns for path in out.rglob("*.mp4")}
    film(data_set / "broken.mp4", numbered(3))
    film(data_set / "b, c" / "x.mp4", numbered(7))  # a newer source
    told = prepare(data_set / "list.csv", "--out", out, "--short-side", 24, "--processes", 1)
    assert told.code == 0
    assert told.out.startswith("2 files prepared, 3 skipped (done before), 0 failed, ")
    assert len(table(out / "list.csv")) == 6
    assert table(out / "failures.csv") == []
    changed = {path.name for path, time in made.items() if path.stat().st_ctime_ns != time}
    assert changed == {"x.mp4"}
    assert len(shown(out / "videos" / "b, c" / "x.mp4")[0]) == 7

    shutil.rmtree(data_set / "a")  # the originals may go
    told = prepare(data_set / "list.csv", "--out", out, "--short-side", 24)
    assert told.code == 0
    assert told.out.startswith("0 files prepared, 5 skipped (done before), 0 failed; ")


def test_other_settings_are_refused_unless_all_is_made_again(prepare, data_set, tmp_path):
    out = tmp_path / "out"
    (data_set / "broken.mp4").unlink()
    (data_set / "list.csv").write_text("path,label\na/x.mp4,0\na/x.avi,1\n")
    assert prepare(data_set / "list.csv", "--out", out, "--short-side", 24).code == 0
    told = prepare(data_set / "list.csv", "--out", out, "--short-side", 16, "--crf", 30)
    assert told.code == 2
    assert told.err == (
        f"error: {out} was prepared with short_side 24, now 16; crf 18, now 30: give what it was, another folder, or "
        "--overwrite to make all its videos again\n"
    )
    assert shown(out / "videos" / "a" / "x.mp4")[1].shape[1] == 24
    (data_set / "one.csv").write_text("path,label\na/x.mp4,0\n")
    told = prepare(data_set / "one.csv", "--out", out, "--short-side", 16, "--crf", 30, "--overwrite")
    assert told.code == 0
    assert [path.name for path in out.rglob("*.mp4")] == ["x.mp4"]  # nothing is left of the old settings
    assert shown(out / "videos" / "a" / "x.mp4")[1].shape[1] == 16
    assert json.loads((out / "prepared.json").read_text()) == {
        "list": f"{data_set}/one.csv",
        "root": str(data_set),
        "short_side": 16,
        "keyframe_interval": 12,
        "crf": 30,
        "program": "pyav",
    }
    (out / "prepared.json").write_text("[1]")
    told = prepare(data_set / "one.csv", "--out", out)
    assert told.code == 2
    assert told.err.startswith(f"error: {out}/prepared.json does not hold settings (")
    assert told.err.endswith("; choose another folder\n")


def test_class_folders_and_plain_lists(prepare, videos, tmp_path):
    told = prepare(videos.parent, "--out", tmp_path / "out", "--short-side", 24)
    assert told.code == 0
    rows = table(tmp_path / "out" / "list.csv")
    assert len(rows) == 12
    assert rows[0] == {
        "path": "videos/train/dark/0.mp4",
        "label": "dark",
        "split": "train",
        "id": "train/dark/0.mp4",
    }
    (tmp_path / "plain.txt").write_text("train/dark/0.mp4 3\nval/light/1.mp4 0\n")
    told = prepare(tmp_path / "plain.txt", "--root", videos.parent, "--out", tmp_path / "plain")
    assert told.code == 0
    assert (tmp_path / "plain" / "list.csv").read_text() == (
        "path,label,id\nvideos/train/dark/0.mp4,3,train/dark/0.mp4\nvideos/val/light/1.mp4,0,val/light/1.mp4\n"
    )


def test_videos_keep_the_ids_of_the_source(prepare, data_set, tmp_path):
    (data_set / "list.csv").write_text("path,label,start,end,id\na/x.mp4,0,,,\na/x.mp4,0,0.1,,\na/x.avi,1,,,mine\n")
    assert prepare(data_set / "list.csv", "--out", tmp_path / "out", "--short-side", 24).code == 0
    before, after = (read_records(path).records for path in (data_set / "list.csv", tmp_path / "out" / "list.csv"))
    assert [record.id for record in after] == [record.id for record in before] == ["a/x.mp4", "a/x.mp4:0.1-end", "mine"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--short-side", "0"], "--short-side: got 0, allowed: even numbers from 2 (pixels)"),
        (["--short-side", "255"], "--short-side: got 255, allowed: even numbers from 2 (pixels)"),
        (["--keyframe-interval", "0"], "--keyframe-interval: got 0, allowed: from 1 (frames)"),
        (["--crf", "52"], "--crf: got 52, allowed: 0 (lossless, large) to 51"),
        (["--processes", "0"], "--processes: got 0, allowed: from 1"),
        (["--time-limit", "0"], "--time-limit: got 0.0, allowed: above 0, to 1000000 (seconds for one file)"),
        (["--time-limit", "inf"], "--time-limit: got inf, allowed: above 0, to 1000000 (seconds for one file)"),
        (["--time-limit", "nan"], "--time-limit: got nan, allowed: above 0, to 1000000 (seconds for one file)"),
        (["--program", "magic"], "--program: got 'magic', allowed: pyav, ffmpeg"),
    ],
)
def test_bad_values_are_one_line(prepare, data_set, tmp_path, arguments, message):
    told = prepare(data_set / "list.csv", "--out", tmp_path / "out", *arguments)
    assert (told.code, told.err) == (2, f"error: {message}\n")
    assert not (tmp_path / "out").exists()


def test_folders_that_are_not_to_be_written_to(prepare, data_set, tmp_path):
    def refusal(*arguments):
        told = prepare(*arguments)
        assert told.code == 2
        return told.err

    here = f"error: {data_set}/list.csv is there, but not of this command; choose another folder\n"
    assert refusal(data_set / "list.csv", "--out", data_set) == here
    (tmp_path / "list.txt").write_text("root/a/x.mp4 0\n")
    inside = f"error: {tmp_path}/list.txt lies in {tmp_path}, which is written to; choose another folder\n"
    assert refusal(tmp_path / "list.txt", "--out", tmp_path) == inside
    (tmp_path / "file").write_text("")
    error = f"error: cannot write to {tmp_path}/file (File exists); mend that and run again\n"
    assert refusal(tmp_path / "list.txt", "--out", tmp_path / "file") == error
    film(data_set / "a" / "x.avi.mp4", numbered(3))
    (tmp_path / "list.txt").write_text("root/a/x.avi 0\nroot/a/x.avi.mp4 1\n")
    two = (
        f"error: {data_set}/a/x.avi and {data_set}/a/x.avi.mp4 would both become "
        f"{tmp_path}/out/videos/root/a/x.avi.mp4; rename one of them\n"
    )
    assert refusal(tmp_path / "list.txt", "--out", tmp_path / "out") == two


@pytest.mark.parametrize("through", ["folder", "file", "output"])
def test_no_link_hides_that_sources_would_be_removed(prepare, tmp_path, through):
    """The videos that an earlier run prepared, prepared again into the same folder."""
    real, link, out = tmp_path / "real", tmp_path / "link", tmp_path / "real" / "out"
    real.mkdir()
    film(real / "a.mp4", numbered(3))
    (real / "list.csv").write_text("path,label\na.mp4,0\n")
    assert prepare(real / "list.csv", "--out", out, "--short-side", 24).code == 0
    if through == "file":
        link.mkdir()
        (link / "b.mp4").symlink_to(out / "videos" / "a.mp4")
        (link / "list.csv").write_text("path,label\nb.mp4,0\n")
        source, inside = link / "list.csv", link / "b.mp4"
    else:
        link.symlink_to(real)
        source = inside = (link if through == "folder" else real) / "out" / "list.csv"
    given = link / "out" if through == "output" else out
    told = prepare(source, "--out", given, "--overwrite")
    assert told.code == 2
    assert told.err == f"error: {inside} lies in {given}, which is written to; choose another folder\n"
    assert small_numbers(shown(out / "videos" / "a.mp4")[1]) == [0, 1, 2]


def test_an_older_source_is_a_changed_one(prepare, data_set, tmp_path):
    arguments = (data_set / "list.csv", "--out", tmp_path / "out", "--short-side", 24)
    (data_set / "list.csv").write_text("path,label\na/x.mp4,0\na/x.avi,1\n")
    assert prepare(*arguments).code == 0
    copy = tmp_path / "out" / "videos" / "a" / "x.mp4"
    assert copy.stat().st_mtime_ns == (data_set / "a" / "x.mp4").stat().st_mtime_ns
    film(data_set / "a" / "x.mp4", numbered(4))
    os.utime(data_set / "a" / "x.mp4", (1e9, 1e9))
    told = prepare(*arguments)
    assert told.out.startswith("1 file prepared, 1 skipped (done before), 0 failed, ")
    assert small_numbers(shown(copy)[1]) == [0, 1, 2, 3]
    assert prepare(*arguments).out.startswith("0 files prepared, 2 skipped (done before), 0 failed; ")


@pytest.mark.parametrize(
    ("kept", "same"),
    [
        (1_700_000_000_123_456_789, True),
        (1_700_000_000_123_456_000, True),  # a file system of whole microseconds
        (1_700_000_000_000_000_000, True),  # of whole seconds
        (1_700_000_000_123_456_788, False),
        (1_700_000_000_123_457_900, False),
        (1_699_999_999_000_000_000, False),
    ],
)
def test_file_systems_round_times(kept, same):
    assert is_same_time(kept, 1_700_000_000_123_456_789) is same


def test_a_name_with_a_null_byte(prepare, data_set, tmp_path):
    (data_set / "list.csv").write_text("path,label\na/x.mp4,0\na/\0.mp4,1\n")
    told = prepare(data_set / "list.csv", "--out", tmp_path / "out", "--short-side", 24)
    assert told.code == 2
    assert told.out.startswith("1 file prepared, 0 skipped (done before), 1 failed, ")
    assert ",embedded null byte" in (tmp_path / "out" / "failures.csv").read_text()


# -- What is no plain file


def picture_folder(folder, count, **size):
    """``img_1.png`` to ``img_COUNT.png`` with their numbers on them."""
    folder.mkdir(parents=True)
    for number, picture in enumerate(numbered(count, **size)):
        Image.fromarray(picture).save(folder / f"img_{number + 1}.png")
    return folder


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_folder_of_frames_becomes_a_video(prepare, tmp_path, program):
    root = tmp_path / "root"
    folder = picture_folder(root / "clips" / "one", 12)
    picture_folder(root / "small", 1)
    Image.fromarray(numbered(1)[0, :20, :20]).save(picture_folder(root / "sizes", 2) / "img_3.png")
    (root / "none").mkdir()
    (root / "list.csv").write_text("path,label,end\nclips/one,a,0.2\nsmall,b,\nsizes,a,\nnone,a,\n")
    out = tmp_path / "out"
    arguments = (root / "list.csv", "--out", out, "--short-side", 24, "--program", program)
    told = prepare(*arguments)
    assert (told.code, told.err) == (2, f"error: 2 of 4 files could not be prepared; {out}/failures.csv says why\n")
    assert told.out.startswith("2 files prepared, 0 skipped (done before), 2 failed, ")
    assert (out / "list.csv").read_text().splitlines() == [
        "path,label,end,id",
        "videos/clips/one.mp4,a,0.2,clips/one:0-0.2",
        "videos/small.mp4,b,,small",
    ]
    assert [(row["path"], row["reason"]) for row in table(out / "failures.csv")] == [
        (f"{root}/sizes", "frame img_3.png is 20x20, not 48x112 as the first"),
        (f"{root}/none", "a folder without frames (.jpg, .jpeg, .png, .webp)"),
    ]
    copy = out / "videos" / "clips" / "one.mp4"
    seconds, pixels = shown(copy)
    assert small_numbers(pixels) == list(range(12))
    assert seconds == [Fraction(number, 30) for number in range(12)]
    with open_video(folder) as before, open_video(copy) as after:
        assert before.num_frames == after.num_frames == 12
        assert after.fps == pytest.approx(before.fps, rel=1e-9)
        difference = before.frames([3])[0, ::2, ::2].float().mean() - after.frames([3])[0].float().mean()
    assert abs(difference) < 4
    with av.open(str(copy)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert all(packet.pts == packet.dts for packet in packets)  # no B-frames

    assert prepare(*arguments).out.startswith("0 files prepared, 2 skipped (done before), 2 failed, ")
    (folder / "img_12.png").unlink()
    assert prepare(*arguments).out.startswith("1 file prepared, 1 skipped (done before), 2 failed, ")
    assert len(shown(copy)[0]) == 11
    with open(folder / "img_1.png", "r+b") as file:  # the folder itself stays as it was
        file.write((folder / "img_2.png").read_bytes())
        file.truncate()
    assert prepare(*arguments).out.startswith("1 file prepared, 1 skipped (done before), 2 failed, ")
    assert small_numbers(shown(copy)[1])[:2] == [1, 1]


def test_odd_pictures(tmp_path):
    picture_folder(tmp_path / "in", 3)
    for path in (tmp_path / "in").iterdir():
        Image.open(path).crop((0, 0, 111, 47)).save(path)
    reencode(tmp_path / "in", tmp_path / "copy.mp4", short_side=320)
    _, pixels = shown(tmp_path / "copy.mp4")
    assert pixels.shape == (3, 46, 110, 3)
    assert numbers(pixels) == [0, 1, 2]


@pytest.fixture
def server(tmp_path, monkeypatch):
    """An HTTP server over the folder ``web``; iopath caches below the test's own folder."""
    (tmp_path / "web").mkdir()
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_urls_are_fetched_and_prepared(prepare, tmp_path, server):
    """A file, a part of a shard, and one that is not there."""
    web, out = tmp_path / "web", tmp_path / "out"
    film(web / "a.avi", numbered(5), codec="mpeg4")
    film(web / "b.mp4", numbered(7))
    with tarfile.open(web / "all.tar", "w") as shard:
        shard.add(web / "b.mp4", "b.mp4")
    with tarfile.open(web / "all.tar") as shard:
        member = shard.getmember("b.mp4")
    part = f"all.tar#{member.offset_data}+{member.size}"
    source = tmp_path / "list.csv"
    source.write_text(f"path,label\nhttp://{server}/a.avi,0\nhttp://{server}/{part},1\nhttp://{server}/gone.mp4,1\n")
    told = prepare(source, "--out", out, "--short-side", 24)
    assert told.code == 2
    assert told.out.startswith("2 files prepared, 0 skipped (done before), 1 failed, ")
    where = f"outside/http/{server}"
    assert [(row["path"], row["id"]) for row in table(out / "list.csv")] == [
        (f"{where}/a.avi.mp4", f"http://{server}/a.avi"),
        (f"{where}/{part}.mp4", f"http://{server}/{part}"),
    ]
    (failed,) = table(out / "failures.csv")
    assert failed == {
        "path": f"http://{server}/gone.mp4",
        "reason": "cannot be fetched: HTTP Error 404: File not found",
    }
    counts = [len(shown(record.path)[0]) for record in read_records(out / "list.csv").records]
    assert counts == [5, 7]
    told = prepare(source, "--out", out, "--short-side", 24)
    assert told.out.startswith("0 files prepared, 2 skipped (done before), 1 failed, ")


@pytest.mark.parametrize(
    ("path", "root", "place"),
    [
        ("/mine/a/b.avi", "/mine", "videos/a/b.avi.mp4"),
        ("/mine/a", "/", "videos/mine/a.mp4"),
        ("/minery/a.mp4", "/mine", "outside/minery/a.mp4"),
        ("http://host/in/./b/../a.webm", "http://host/in", "videos/a.webm.mp4"),
        ("http://host/a.mp4?key=1", "/mine", "outside/http/host/a.mp4?key=1.mp4"),
        ("http://host/in/../../../a.mp4", "http://host/in", "videos/a.mp4"),
        ("http://../../a.mp4", "/mine", "outside/a.mp4"),
    ],
)
def test_places_inside_the_folder(path, root, place):
    assert place_of(path, root) == place


def test_a_list_may_be_a_url(prepare, tmp_path, server):
    (tmp_path / "web" / "in").mkdir()
    film(tmp_path / "web" / "in" / "a.mp4", numbered(5))
    (tmp_path / "web" / "list.csv").write_text("path,label\nin/a.mp4,0\n")
    out = tmp_path / "out"
    assert prepare(f"http://{server}/list.csv", "--out", out, "--short-side", 24).code == 0
    assert (out / "list.csv").read_text() == "path,label,id\nvideos/in/a.mp4,0,in/a.mp4\n"
    assert json.loads((out / "prepared.json").read_text())["list"] == f"http://{server}/list.csv"


def test_a_handler_of_ones_own_fetches_what_is_prepared(prepare, tmp_path, monkeypatch):
    monkeypatch.setenv("ATTIC", str(tmp_path))
    film(tmp_path / "a.mp4", numbered(5))
    source, out = tmp_path / "list.csv", tmp_path / "out"
    source.write_text("path,label\nattic://a.mp4,0\n")
    told = prepare(source, "--out", out, "--short-side", 24, "--path-handlers", "helpers.attic:Attic")
    assert (told.code, told.err) == (0, "")
    assert (out / "list.csv").read_text() == "path,label,id\noutside/attic/a.mp4,0,attic://a.mp4\n"
    assert numbers(shown(out / "outside" / "attic" / "a.mp4")[1]) == list(range(5))
    told = prepare(source, "--out", out, "--path-handlers", "helpers.attic:Nothing")
    assert told.code == 2
    assert told.err.startswith("error: path handler 'helpers.attic:Nothing' cannot be made (module 'helpers.attic' ")


def test_two_runs_do_not_share_a_folder(prepare, data_set, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with open(out / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        told = prepare(data_set / "list.csv", "--out", out)
    assert told.code == 2
    assert told.err == f"error: another run is preparing videos in {out}; wait for it, or choose another\n"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "cannot run ffmpeg (No such file or directory); install it, or use --program pyav"),
        (
            "#!/bin/sh\necho '[x @ 0x1] Unrecognized option' >&2\nexit 1\n",
            "this ffmpeg does not do (Unrecognized option): 5.1 or newer with libx264 is needed; install it, or use "
            "--program pyav",
        ),
    ],
)
def test_an_ffmpeg_that_is_missing_or_old(prepare, data_set, tmp_path, monkeypatch, script, message):
    (tmp_path / "bin").mkdir()
    if script:
        (tmp_path / "bin" / "ffmpeg").write_text(script)
        (tmp_path / "bin" / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    told = prepare(data_set / "list.csv", "--out", tmp_path / "out", "--program", "ffmpeg")
    assert (told.code, told.err) == (2, f"error: {message}\n")


@pytest.mark.parametrize(
    ("pts", "message"),
    [
        (range(9), "pyav wrote 9 frames of 10"),
        ([*range(9), 18], "pyav wrote frame 9 of 10 0.36 s from its time"),
    ],
)
def test_a_copy_with_other_frames_is_no_copy(tmp_path, monkeypatch, pts, message):
    """The check reads the file that was written, whatever wrote it."""

    def other(plan, path, interval, crf):
        film(path, numbered(len(pts)), pts)

    film(tmp_path / "a.mp4", numbered(10))
    monkeypatch.setattr("video_rs.curation.prepare.reencoding.encode_with_pyav", other)
    with pytest.raises(InputError, match=message):
        reencode(tmp_path / "a.mp4", tmp_path / "copy.mp4", short_side=24)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


# -- Trouble on the way


def script(folder, code, *arguments):
    """The command, in a process whose workers too run ``code`` first."""
    (folder / "sitecustomize.py").write_text(code)
    command = [sys.executable, str(ROOT / "datasets" / "prepare_videos.py"), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_what_hangs_or_crashes_costs_one_file(data_set, tmp_path):
    code = (
        "import ctypes, os, signal\n"
        "import video_rs.video.readers.pyav as pyav\n"
        "init = pyav.PyAVReader.__init__\n"
        "def trouble(self, path, index):\n"
        "    if path.endswith('elsewhere/x.mp4'): ctypes.PyDLL(None).pause()\n"
        "    if path.endswith('x.avi'): os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    init(self, path, index)\n"
        "pyav.PyAVReader.__init__ = trouble\n"
    )
    out = tmp_path / "out"
    arguments = ("--out", out, "--short-side", 24, "--time-limit", 4, "--processes", 2)
    process = script(tmp_path, code, data_set / "list.csv", *arguments)
    told, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors == f"error: 3 of 5 files could not be prepared; {out}/failures.csv says why\n"
    assert told.startswith("2 files prepared, 0 skipped (done before), 3 failed, ")
    assert {Path(row["path"]).name: row["reason"] for row in table(out / "failures.csv")} == {
        "x.mp4": "not read within 4 s; its process was stopped",
        "broken.mp4": "invalid data found when processing input",
        "x.avi": "its reading process died of SIGSEGV",
    }
    assert [row["id"] for row in table(out / "list.csv")] == ["one", "two", "five"]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("moment", ["writing", "some are done"])
def test_a_killed_run_is_gone_on_with(prepare, videos, tmp_path, moment, program):
    code = "import time\n"
    if moment == "writing":  # two files stay unfinished
        code += "import video_rs.curation.prepare.reencoding as e\ncheck = e.compare_times\n"
        code += "def slow(plan, *a):\n    check(plan, *a)\n    time.sleep(60 * plan.source.endswith('light/0.mp4'))\n"
        code += "e.compare_times = slow\n"
    out = tmp_path / "out"
    arguments = (videos, "--out", out, "--short-side", 24, "--processes", 2, "--program", program)
    process = script(tmp_path, code, *arguments)
    stop = time.monotonic() + 100
    wanted = 6 if moment == "writing" else 1
    while len(list(out.glob("videos/**/*.mp4"))) < wanted and time.monotonic() < stop:
        time.sleep(0.002)
    process.kill()
    process.communicate()
    made = {path: path.stat().st_ctime_ns for path in out.glob("videos/**/*.mp4")}
    assert made
    assert not (out / "list.csv").exists() or len(made) == 12
    told = prepare(*arguments)
    assert told.code == 0
    assert told.out.startswith(f"{12 - len(made)} files prepared, {len(made)} skipped (done before), 0 failed")
    assert all(path.stat().st_ctime_ns == time for path, time in made.items())
    assert len(table(out / "list.csv")) == 12
    assert all(len(shown(path)[0]) == 12 for path in out.glob("videos/**/*.mp4"))
    assert not (out / ".unfinished").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the program ends by itself")
def test_an_ffmpeg_that_hangs_ends_with_its_worker(prepare, videos, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "ffmpeg"
    program.write_text(f'#!/bin/sh\ncase "$*" in *lavfi*) exit 0;; esac\necho $$ > {tmp_path}/pid\nexec sleep 600\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "one.csv").write_text("path,label\ntrain/dark/0.mp4,0\n")
    arguments = ("--root", videos.parent, "--out", tmp_path / "out", "--program", "ffmpeg", "--time-limit", 2)
    assert prepare(tmp_path / "one.csv", *arguments).code == 2
    (failed,) = table(tmp_path / "out" / "failures.csv")
    assert failed["reason"] == "not read within 2 s; its process was stopped"
    hung = Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}/stat")
    stop = time.monotonic() + 10
    while hung.exists() and hung.read_text().rsplit(")", 1)[1].split()[0] != "Z" and time.monotonic() < stop:
        time.sleep(0.05)
    assert not hung.exists() or hung.read_text().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_full_disk_ends_the_run(videos, tmp_path):
    code = (
        "import video_rs.curation.prepare.reencoding as e\n"
        "def full(*_): raise OSError(28, 'No space left on device')\n"
        "e.compare_times = full\n"
    )
    process = script(tmp_path, code, videos, "--out", tmp_path / "out", "--short-side", 24)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert errors.startswith(f"error: cannot write to {tmp_path}/out (cannot write {tmp_path}/out/.unfinished/")
    assert errors.endswith(": No space left on device); mend that and run again\n")


def test_names_that_a_list_cannot_hold(prepare, tmp_path):
    folder = tmp_path / "mine" / "cat"
    folder.mkdir(parents=True)
    write_video(folder / "a.mp4", numbered(3), fps=25)
    os.rename(folder / "a.mp4", os.fsencode(folder) + b"/\xff.mp4")
    write_video(folder / "b.mp4", numbered(3), fps=25)
    long = "n" * 250 + ".avi"
    film(folder / "c.avi", numbered(3), codec="mpeg4").rename(folder / long)
    told = prepare(tmp_path / "mine", "--out", tmp_path / "out", "--short-side", 24)
    assert told.code == 2
    assert [row["path"] for row in table(tmp_path / "out" / "list.csv")] == ["videos/cat/b.mp4"]
    reasons = {Path(row["path"]).name[:5]: row["reason"] for row in table(tmp_path / "out" / "failures.csv")}
    assert reasons["\\udcf"] == "its path is not UTF-8 text, which a list has to be; rename it"
    assert reasons["nnnnn"].startswith("cannot write ")
    assert reasons["nnnnn"].endswith("File name too long")


# -- The public edge files


@pytest.mark.skipif(not (EDGE / "edge.csv").exists(), reason="the edge files are not there")
def test_the_edge_files(prepare, tmp_path):
    out = tmp_path / "out"
    told = prepare(EDGE / "edge.csv", "--out", out, "--short-side", 96, "--processes", 2)
    assert told.code == 2
    listed = table(EDGE / "edge.csv")
    sound = {f"{row['file']}": int(row["frames_decoded"]) for row in listed if row["status"] == "ok"}
    failed = {row["path"] for row in table(out / "failures.csv")}
    assert failed == {str(EDGE / row["file"]) for row in listed if row["status"] != "ok"}
    for name, count in sound.items():
        copy = out / "videos" / name
        copy = copy if copy.suffix == ".mp4" else copy.with_name(f"{copy.name}.mp4")
        with open_video(EDGE / name) as before, open_video(copy) as after:
            assert before.num_frames == after.num_frames == count, name
            assert after.fps == pytest.approx(before.fps, rel=1e-6), name
            assert (before.height < before.width) == (after.height < after.width) or before.height == before.width
            middle = [count // 2]
            means = [reader.frames(middle).float().mean((0, 1, 2)) for reader in (before, after)]
        # Whole pictures keep their mean colour within rounding, 10-bit and odd ones within 3 levels.
        assert (means[0] - means[1]).abs().max() < 3, name


@pytest.mark.parametrize("inside", ["prepared", "dark/deep", "."])
def test_a_folder_among_the_videos_is_refused(prepare, videos, tmp_path, inside):
    """Whoever walks the videos' folder next would find each video twice."""
    folder = tmp_path / "mine"
    shutil.copytree(videos.parent / "train", folder)
    (tmp_path / "link").symlink_to(folder)
    told = prepare(tmp_path / "link", "--out", folder / inside)
    out = os.path.abspath(folder / inside)
    line = f"error: {out} lies in {tmp_path}/link, whose videos are prepared; choose a folder beside it\n"
    assert (told.code, told.err) == (2, line)
    assert not (folder / "prepared").exists()
