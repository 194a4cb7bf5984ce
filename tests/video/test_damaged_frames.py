"""Every decoder refuses the frames that FFmpeg calls damaged, and those that are decoded from them, and no others."""

import ctypes
import random
import subprocess
import sys
from ctypes.util import find_library
from dataclasses import replace

import av
import numpy as np
import pytest
import torch

from helpers.numbered_videos import importable
from helpers.tools import ROOT
from video_rs.video import DecodeError, open_video
from video_rs.video.encoding import write_video
from video_rs.video.index.packet_scan import scan
from video_rs.video.readers.ffmpeg_log import ErrorCounter

COUNT, INTERVAL = 30, 10

CODECS = {
    "plain.mp4": ("libx264", {"bf": "0"}),
    "reordered.mp4": ("libx264", {"bf": "3", "x264-params": "b-adapt=0:scenecut=0"}),
    "hevc.mp4": ("libx265", {"x265-params": "open-gop=0:log-level=none:pools=1"}),
    "mpeg4.mp4": ("mpeg4", {}),
    "mpeg2.mkv": ("mpeg2video", {}),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "auto-alt-ref": "0"}),
}


def texture() -> np.ndarray:
    """uint8 [T,H,W,3]: blocks that move, so that every frame is decoded from the one before it."""
    blocks = np.random.default_rng(0).integers(0, 256, (12, 20, 3))
    still = np.kron(blocks, np.ones((4, 4, 1)))
    return np.stack([np.roll(still, (t, 3 * t), axis=(0, 1)) for t in range(COUNT)]).astype(np.uint8)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    for name, (codec, options) in CODECS.items():
        write_video(folder / name, texture(), fps=25, codec=codec, keyframe_interval=INTERVAL, options=options)
    return folder


def packets(path) -> list[tuple[int, int, int]]:
    """Frame number, place in the file and size of each packet, in the order of the file."""
    numbers = {int(pts): number for number, pts in enumerate(scan(path).pts)}
    with av.open(str(path)) as container:
        return [(numbers[p.pts], p.pos, p.size) for p in container.demux(video=0) if p.size]


def with_zeros(path, frame: int, folder) -> str:
    """A copy in which the second half of a frame's data is zeros."""
    [(place, size)] = [(place, size) for number, place, size in packets(path) if number == frame]
    data = bytearray(path.read_bytes())
    data[place + size // 2 : place + size] = bytes(size - size // 2)
    copy = folder / f"zeros_{path.name}"
    copy.write_bytes(data)
    return str(copy)


def outcomes(reader, order) -> dict[int, str | torch.Tensor]:
    """Of each frame its pixels, or why it is refused."""
    found = {}
    for index in order:
        try:
            found[index] = reader.frames([index])[0]
        except DecodeError as error:
            if error.kind != "damaged":
                raise
            found[index] = error.reason
    return found


def refusals(found) -> dict[int, str]:
    return {index: reason for index, reason in sorted(found.items()) if isinstance(reason, str)}


def test_damage_in_a_frame_is_that_of_the_frames_decoded_from_it(sound, decoder, tmp_path):
    path = with_zeros(sound / "plain.mp4", 13, tmp_path)
    with open_video(sound / "plain.mp4") as reader:
        expected = reader.frames(range(COUNT))
    for order in (range(COUNT), range(COUNT)[::-1]):
        with open_video(path, decoder) as reader:
            found = outcomes(reader, order)
        own = "its data is damaged"
        spoilt = f"it is decoded from frame 13, which is damaged: {own}"
        reasons = {13: own} | dict.fromkeys(range(14, 20), spoilt)
        assert refusals(found) == {number: f"frame {number} of 30: {reason}" for number, reason in reasons.items()}
        for index, frame in found.items():
            if not isinstance(frame, str):
                assert torch.equal(frame, expected[index])


def test_b_frames_are_refused_with_the_damaged_frame_that_is_shown_after_them(sound, decoder, tmp_path):
    order = [number for number, _, _ in packets(sound / "reordered.mp4")]
    assert order[:3] == [0, 4, 2]  # 1, 2 and 3 are decoded from 4
    path = with_zeros(sound / "reordered.mp4", 4, tmp_path)
    for frame in range(5):
        with open_video(path, decoder) as reader:  # nothing else is read, so nothing else tells of frame 4
            found = refusals(outcomes(reader, [frame]))
        reason = "its data is damaged"
        if frame < 4:
            reason = f"it is decoded from frame 4, which is damaged: {reason}"
        assert found == ({} if frame == 0 else {frame: f"frame {frame} of 30: {reason}"})


def test_a_damaged_frame_that_no_other_refers_to_spoils_no_other(sound, decoder, tmp_path):
    path = with_zeros(sound / "reordered.mp4", 3, tmp_path)
    with open_video(path, decoder) as reader:
        assert refusals(outcomes(reader, [0, 1, 2, 3, 4, 5, 2, 4, 3, 9])) == {3: "frame 3 of 30: its data is damaged"}


@pytest.mark.parametrize("name", CODECS)
def test_all_decoders_refuse_the_same_frames_for_the_same_reasons(sound, name, tmp_path):
    """A few bits turned over in one to three frames, twelve times."""
    others = [other for other in ("torchcodec", "decord") if importable(other)]
    chance, data = random.Random(0), (sound / name).read_bytes()
    refused = 0
    for number in range(12):
        damaged = bytearray(data)
        for _, place, size in chance.sample(packets(sound / name), 1 + number % 3):
            for _ in range(4):
                damaged[place + 8 + chance.randrange(size - 8)] ^= 1 << chance.randrange(8)
        path = tmp_path / f"{number}_{name}"
        path.write_bytes(damaged)
        order = list(range(COUNT))
        chance.shuffle(order)
        found = outcomes_of_file(path, "pyav", order)
        refused += len(refusals(found))
        for other in others:
            assert refusals(outcomes_of_file(path, other, order)) == refusals(found)
    assert refused > 0 or name == "vp9.webm"  # its arithmetic coder takes any bits for a picture


def outcomes_of_file(path, decoder, order):
    """As :func:`outcomes`; a file whose first frame is damaged does not open."""
    try:
        with open_video(path, decoder) as reader:
            return outcomes(reader, order)
    except DecodeError as error:
        if error.kind != "damaged":
            raise
        return {0: error.reason}


def test_frames_are_not_left_out_for_good_when_the_first_one_read_is_not_the_first(tmp_path):
    """A decoder of AV1 that is opened while frames are left out would never give them."""
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this PyAV has no encoder libsvtav1")
    path = tmp_path / "av1.mp4"
    write_video(path, texture(), fps=25, codec="libsvtav1", keyframe_interval=INTERVAL, options={"preset": "10"})
    with open_video(path, "pyav") as reader:
        expected = reader.frames(range(COUNT))
    index = scan(path)
    no_key = replace(index, key=np.zeros_like(index.key))  # so that each jump back begins at the start of the file
    with open_video(path, "pyav", no_key) as reader:
        for number in (7, 5, 4, 3):
            assert torch.equal(reader.frames([number])[0], expected[number])


COUNT_ERRORS = """
import ctypes, sys
from video_rs.video import DecodeError, open_video
from video_rs.video.readers import {name} as module
counter = module._ffmpeg_errors()
reader = open_video(sys.argv[1], "{name}")
library = ctypes.CDLL({library})
library.av_log(None, 24, b"a warning that nobody needs\\n")
library.av_log(None, 32, b"an information\\n")
reader.frames([3])
assert counter.count == 0, counter.count
assert reader._fallback is None
library.av_log(None, 32, b"concealing 1 DC, 1 AC, 1 MV errors in P frame\\n")
library.av_log(None, 16, b"error while decoding MB 1 1\\n")
assert counter.count == 2, counter.count
sound = reader.frames([4])
assert reader._fallback is not None
assert (sound == open_video(sys.argv[1], "{name}").frames([4])).all()
print("counted")
"""
LIBRARIES = {"torchcodec": "module.torchcodec.core_library_path", "decord": "module._LIB._name"}


@pytest.mark.parametrize("name", LIBRARIES)
def test_what_a_decoder_logs_of_damage_is_counted_and_not_printed(sound, name):
    """In a process of its own, with a reader open to the end."""
    if not importable(name):
        pytest.skip(f"{name} cannot be imported here")
    program = COUNT_ERRORS.format(name=name, library=LIBRARIES[name])
    command = [sys.executable, "-c", program, str(sound / "plain.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "counted\n", "")


def test_a_library_without_ffmpeg_is_told():
    with pytest.raises(AttributeError, match="av_log_set_callback"):
        ErrorCounter(ctypes.CDLL(find_library("c")))


def test_animated_avif_has_its_frames_from_every_decoder_or_pyav_in_its_place(decoder, tmp_path):
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this PyAV has no encoder libsvtav1")
    path = tmp_path / "moving.avif"
    write_video(path, texture()[:10], fps=10, codec="libsvtav1", options={"preset": "10"})
    if decoder == "decord":
        with pytest.raises(DecodeError, match="decord would not find the right frames in this file; use pyav"):
            open_video(path, decoder)
        return
    with av.open(str(path)) as container:
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=1)]
    with open_video(path, decoder) as reader:
        assert reader.num_frames == len(shown) == 10
        assert torch.equal(reader.frames(range(10)), torch.from_numpy(np.stack(shown)))
