"""Animated WebP, written losslessly by Pillow: the frames that went in come out, whichever decoder is asked for."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.clips import clip_spec, eval_transform
from helpers.videos import moving_square
from video_rs.curation.prepare.reencoding import reencode
from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.data.preprocessing import Preprocessing
from video_rs.lists.records import VideoRecord
from video_rs.lists.video_search import find_videos
from video_rs.video import DecodeError, open_video
from video_rs.video.location import Location
from video_rs.video.probing.probe import probe
from video_rs.video.readers.webp import is_animated_webp

FRAMES = moving_square(0)
UNEVEN = [100] * 6 + [1000] + [50] * 5


def write_animation(path, durations=100, frames=FRAMES):
    pictures = [Image.fromarray(frame) for frame in frames]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=durations, lossless=True)
    return str(path)


@pytest.fixture(scope="module")
def animation(tmp_path_factory):
    return write_animation(tmp_path_factory.mktemp("webp") / "even.webp")


@pytest.mark.parametrize("decoder", ["auto", "pyav", "torchcodec", "decord"])
def test_every_decoder_gives_its_frames(animation, decoder):
    if decoder in ("torchcodec", "decord"):
        pytest.importorskip(decoder, exc_type=ImportError)
    with open_video(animation, decoder) as reader:
        assert (reader.num_frames, reader.fps, reader.times) == (12, 10.0, None)
        assert (reader.height, reader.width) == FRAMES.shape[1:3]
        wanted = [7, 0, 11, 7, 3]
        assert np.array_equal(reader.frames(wanted).numpy(), FRAMES[wanted])
        assert reader.frames([]).shape == (0, 48, 48, 3)
        with pytest.raises(ValueError, match="frame index 12 is out of range"):
            reader.frames([12])


def test_its_durations_are_its_times(tmp_path):
    path = write_animation(tmp_path / "uneven.webp", UNEVEN)
    with open_video(path) as reader:
        np.testing.assert_allclose(reader.times, np.cumsum([0, *UNEVEN[:-1]]) / 1000, atol=1e-9)
    facts, index = probe(path, "all")
    assert (facts.kind, facts.codec, facts.frames, facts.variable_rate) == ("ok", "webp", 12, True)
    np.testing.assert_allclose(index.times, reader.times)
    # The seventh picture is shown from 0.6 to 1.6 s.
    spec = Preprocessing(clip_spec(2, 1), 1, eval_transform(48, 48, 1), (0,) * 3, (1,) * 3)
    read = ViewReader(spec, VideoSource())
    shown = read(VideoRecord(path, (), 0.7, 1.5, path), 0)
    assert torch.equal(shown.frames[:, 0], torch.from_numpy(FRAMES[6]).permute(2, 0, 1))


def test_a_duration_of_nothing_is_a_tenth_of_a_second(tmp_path):
    with open_video(write_animation(tmp_path / "fast.webp", 0)) as reader:
        assert (reader.num_frames, reader.fps) == (12, 10.0)


def test_pictures_are_no_animation(animation, tmp_path):
    Image.fromarray(FRAMES[0]).save(tmp_path / "still.webp", lossless=True)
    Image.fromarray(FRAMES[0]).convert("RGBA").save(tmp_path / "extended.webp", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")
    (tmp_path / "empty.webp").write_bytes(b"")
    assert is_animated_webp(animation)
    for name in ("still", "extended", "empty", "missing"):
        assert not is_animated_webp(str(tmp_path / f"{name}.webp"))


def test_in_class_folders_it_is_a_video_and_pictures_are_frames(tmp_path):
    for folder in ("cat", "dog/1", "dog/2"):
        (tmp_path / folder).mkdir(parents=True)
    write_animation(tmp_path / "cat" / "a.webp")
    write_animation(tmp_path / "cat" / "B.WEBP")
    for number in (1, 2):
        for place in range(3):
            Image.fromarray(FRAMES[place]).save(tmp_path / f"dog/{number}/{place}.webp", lossless=True)
    assert find_videos(str(tmp_path)) == ["cat/B.WEBP", "cat/a.webp", "dog/1", "dog/2"]
    with open_video(tmp_path / "dog/1") as reader:
        assert np.array_equal(reader.frames([0, 1, 2]).numpy(), FRAMES[:3])


def test_inside_a_shard_it_is_told_by_its_bytes(animation, tmp_path):
    data = Path(animation).read_bytes()
    (tmp_path / "shard.tar").write_bytes(b"\0" * 512 + data + b"\0" * 700)
    with open_video(Location(str(tmp_path / "shard.tar"), 512, len(data)).path()) as reader:
        assert np.array_equal(reader.frames([0, 5]).numpy(), FRAMES[[0, 5]])


def test_damage_is_named(animation, tmp_path):
    data = Path(animation).read_bytes()
    cut, broken, none = (tmp_path / f"{name}.webp" for name in ("cut", "broken", "none"))
    cut.write_bytes(data[: len(data) // 2])
    at = data.index(b"VP8L", data.index(b"ANMF", len(data) // 2))
    broken.write_bytes(data[: at + 40] + b"\xff" * 400 + data[at + 440 :])
    none.write_bytes(data[: data.index(b"ANMF")])
    for path, kind, reason in (
        (cut, "truncated", r"^truncated: it ends inside frame \d$"),
        (broken, "damaged", r"^frame 11 of 12: "),
        (none, "unreadable", r"^a WebP animation without a frame$"),
    ):
        with pytest.raises(DecodeError) as caught, open_video(path) as reader:
            reader.frames([11])
        assert caught.value.kind == kind
        assert re.match(reason, caught.value.reason), caught.value.reason
        assert probe(str(path))[0].kind == kind
    with open_video(broken) as reader:
        assert np.array_equal(reader.frames([0]).numpy(), FRAMES[:1])


def test_it_is_prepared_with_its_times(tmp_path):
    levels = 20 * np.arange(12, dtype=np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (12, 48, 48, 3))
    source = write_animation(tmp_path / "uneven.webp", UNEVEN, frames)
    reencode(source, tmp_path / "copy.mp4", short_side=48)
    with open_video(source) as before, open_video(tmp_path / "copy.mp4") as after:
        np.testing.assert_allclose(after.times, before.times, atol=1e-3)
        # A grey comes back from yuv420p within a level or two; the next frame is twenty away.
        shown = after.frames(range(12)).float().mean((1, 2, 3))
        assert (shown - torch.from_numpy(levels)).abs().max() < 3


def test_the_doctor_takes_it(tmp_path, tool):
    for name in ("a", "b"):
        (tmp_path / "videos" / name).mkdir(parents=True)
        for seed in (1, 2):
            frames = moving_square(seed, light=name == "b")
            write_animation(tmp_path / "videos" / name / f"{seed}.webp", frames=frames)
    told = tool("check_dataset", tmp_path / "videos", "--out", tmp_path / "out", "--processes", 1, "--min-frames", 12)
    assert told.code == 0, told.err
    found = json.loads((tmp_path / "out" / "check.json").read_text())
    assert (found["rows"], found["findings"]) == (4, [])
