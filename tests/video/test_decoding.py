"""Every decoder returns the frame asked for: the frame number is drawn into the pixels and read back."""

import ctypes
import gc
import os
import pickle
import re
import subprocess
import sys
import tarfile
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from PIL import Image

from helpers.numbered_videos import COUNT, FILES, decoded_in_order, importable, numbered, numbers
from video_rs.data.dataset import record_span
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.video import DECODERS, DecodeError, open_video
from video_rs.video.encoding import write_video
from video_rs.video.index.frame_index import Note
from video_rs.video.index.packet_scan import scan


@pytest.mark.parametrize("name", FILES)
def test_any_order_of_indices_gives_those_frames(files, decoder, name):
    path, addressable = files(name), FILES[name][2]
    if decoder == "decord" and addressable is False:
        with pytest.raises(DecodeError, match="decord would not find the right frames in this file; use pyav"):
            open_video(path, decoder)
        return
    random = np.random.default_rng(0)
    with open_video(path, decoder) as reader:
        assert (reader.num_frames, reader.height, reader.width) == (COUNT, 48, 112)
        # 0.2 %: Matroska and FLV round times to milliseconds, of four seconds.
        assert reader.fps == pytest.approx(25, rel=2e-3)
        orders = [random.integers(0, COUNT, 8) for _ in range(6)]
        orders += [np.arange(COUNT), np.arange(COUNT)[::-7], np.array([COUNT - 1, 0, 0, 50, COUNT - 1])]
        for start in range(0, COUNT - 12, 12):  # chunks going forward, as testing reads them
            orders.append(np.arange(start, start + 12, 1 + start % 3))
        for order in orders:
            frames = reader.frames(order)
            assert frames.dtype == torch.uint8
            assert frames.shape == (len(order), 48, 112, 3)
            assert numbers(frames) == order.tolist()


@pytest.mark.parametrize("name", ["closed.mp4", "open.mp4", "hidden.webm", "mpeg2.ts"])
def test_pyav_seeks_and_leaves_frames_out_without_changing_the_others(files, name):
    with av.open(str(files(name))) as container:
        expected = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    with open_video(files(name), "pyav") as reader:
        for picked in ([97], [57], [33], [26], range(0, COUNT, 2), range(1, COUNT, 5), [3, 40, 41]):
            assert torch.equal(reader.frames(list(picked)), torch.from_numpy(expected[list(picked)]))


def test_a_gradual_refresh_is_not_taken_for_a_key_frame(tmp_path):
    """Its first pictures after a seek are whole only if what came before was decoded; moving texture shows it."""
    texture = np.kron(np.random.default_rng(0).integers(0, 256, (12, 28, 3)), np.ones((4, 4, 1)))
    moving = np.stack([np.roll(texture, (t, 3 * t), axis=(0, 1)) for t in range(COUNT)]).astype(np.uint8)
    path = tmp_path / "refresh.mp4"
    write_video(path, moving, fps=25, keyframe_interval=24, options={"bf": "0", "x264-params": "intra-refresh=1"})
    with av.open(str(path)) as container:
        expected = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    with open_video(path, "pyav") as reader:
        for index in range(COUNT - 1, 0, -3):  # backwards: a seek each time
            assert torch.equal(reader.frames([index])[0], expected[index])


@pytest.mark.parametrize("name", ["closed.mp4", "closed.mkv", "hidden.webm", "mpeg4.mp4"])
def test_pyav_and_torchcodec_agree_exactly_on_8_bit_420(files, name):
    if not importable("torchcodec"):
        pytest.skip("torchcodec cannot be imported here")
    indices = list(range(0, COUNT, 3))
    with open_video(files(name), "pyav") as one, open_video(files(name), "torchcodec") as other:
        assert torch.equal(one.frames(indices), other.frames(indices))


class Heap(ctypes.Structure):
    """glibc's struct mallinfo2; ``used`` is its ``uordblks``."""

    _fields_ = [(name, ctypes.c_size_t) for name in [*"abcdefg", "used", "free", "top"]]


def test_reading_leaves_no_memory_behind(files, decoder):
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        pytest.skip("needs glibc 2.33")
    mallinfo.restype = Heap

    def read() -> None:
        with open_video(files("closed.mp4"), decoder) as reader:
            reader.frames([70, 3])

    def bytes_kept(videos: int) -> float:
        """For each video opened, read over a seek, and closed."""
        gc.collect()
        before = mallinfo().used
        for _ in range(videos):
            read()
        gc.collect()
        return (mallinfo().used - before) / videos

    bytes_kept(50)
    # A packet is 104 bytes, with the heap's own 112. Once below that is enough: what leaks does so each time.
    assert any(bytes_kept(100) < 100 for _ in range(3))


@pytest.mark.parametrize("indices", [[], torch.empty(0, dtype=torch.int64)], ids=["list", "tensor"])
def test_no_indices_give_no_frames(files, decoder, indices):
    with open_video(files("closed.mp4"), decoder) as reader:
        assert reader.frames(indices).shape == (0, 48, 112, 3)


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor], ids=["list", "tuple", "numpy", "torch"])
def test_kinds_of_indices(files, decoder, kind):
    with open_video(files("closed.mp4"), decoder) as reader:
        assert numbers(reader.frames(kind([7, 3]))) == [7, 3]


@pytest.mark.parametrize("index", [-1, COUNT])
def test_an_index_out_of_range_is_named(files, decoder, index):
    message = f"frame index {index} is out of range: the video has num_frames={COUNT}"
    with open_video(files("closed.mp4"), decoder) as reader:
        with pytest.raises(ValueError, match=message):
            reader.frames([0, index])
        assert numbers(reader.frames([5])) == [5]


def test_indices_must_be_whole_numbers_in_a_row(files, decoder):
    with open_video(files("closed.mp4"), decoder) as reader:
        with pytest.raises(ValueError, match=r"must be whole numbers \[T\], got float64 \[1\]"):
            reader.frames([0.5])
        with pytest.raises(ValueError, match=r"must be whole numbers \[T\], got int64 \[1, 1\]"):
            reader.frames([[0]])


def test_one_frame(tmp_path, decoder):
    write_video(tmp_path / "one.mp4", numbered(1), fps=25)
    with open_video(tmp_path / "one.mp4", decoder) as reader:
        assert (reader.num_frames, reader.fps) == (1, 25.0)
        assert numbers(reader.frames([0, 0])) == [0, 0]


def test_a_variable_rate_counts_frames_not_seconds(tmp_path, decoder):
    path = tmp_path / "vfr.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "2"})
        stream.height, stream.width = 48, 112
        stream.codec_context.gop_size = 10
        for number, picture in enumerate(numbered(40)):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts = number + 30 * (number >= 20)  # a pause of thirty frames in the middle
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_video(path, decoder) as reader:
        assert reader.num_frames == 40
        assert reader.fps == pytest.approx(25 * 39 / 69)
        assert numbers(reader.frames([19, 20, 39, 0])) == [19, 20, 39, 0]
        # 20 frames in 0.8 s, a pause of 1.2 s, 20 frames from 2 s on.
        np.testing.assert_allclose(reader.times, (np.arange(40) + 30 * (np.arange(40) >= 20)) / 25, atol=1e-9)
        seconds = [(0, 0.4), (0.4, 2.0), (2.0, None), (None, 2.04), (1.0, 2.08)]
        records = [VideoRecord(str(path), (0,), start, end, "") for start, end in seconds]
        spans = [record_span(reader, record) for record in records]
        assert [(s.first, s.count) for s in spans] == [(0, 10), (10, 10), (20, 20), (0, 21), (20, 2)]
        # In the pause the frame before it is on the screen.
        shown = record_span(reader, VideoRecord(str(path), (0,), 1.0, 1.9, ""))
        assert (shown.first, shown.count) == (19, 1)
        with pytest.raises(DecodeError, match=r"segment 3\.0\.\.4\.0 s holds no frame"):
            record_span(reader, VideoRecord(str(path), (0,), 3.0, 4.0, ""))


def test_a_rate_that_drifts_is_read_by_its_times(tmp_path, decoder):
    """1200 ticks a frame, then 1110: no step is far from the mean, but the frames are."""
    path = tmp_path / "drift.mp4"
    ticks = np.cumsum([0] + [1200] * 49 + [1110] * 50)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = 48, 112
        stream.time_base = stream.codec_context.time_base = Fraction(1, 30000)
        for number, picture in enumerate(numbered(100)):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = int(ticks[number]), Fraction(1, 30000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_video(path, decoder) as reader:
        np.testing.assert_allclose(reader.times, ticks / 30000, atol=1e-9)
        wanted = np.flatnonzero((ticks >= 60000) & (ticks < 62000))
        span = record_span(reader, VideoRecord(str(path), (0,), 2.0, 62000 / 30000, ""))
        assert (span.first, span.count) == (wanted[0], len(wanted))


def test_times_that_are_rounded_are_those_of_an_even_rate(files, decoder):
    for name in ("closed.mkv", "closed.mp4"):
        with open_video(files(name), decoder) as reader:
            assert reader.times is None


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_rotation_is_applied_alike(tmp_path, decoder, degrees):
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 112, "yuv420p"
        stream.set_display_rotation(degrees)
        for picture in numbered(5, height=96):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    with open_video(path, decoder) as reader:
        assert (reader.height, reader.width) == ((96, 112) if degrees == 180 else (112, 96))
        shown = reader.frames([4])
        assert shown.shape[1:3] == (reader.height, reader.width)
    # Positive angles turn counter-clockwise, as FFmpeg's display matrix does.
    assert numbers(torch.rot90(shown, -degrees // 90, dims=(1, 2)).contiguous()) == [4]


@pytest.mark.parametrize("name", ["a:b.mp4", "#1 %d.mp4", "-dash.mp4", "höhe.mp4"])
def test_odd_names(tmp_path, decoder, name, monkeypatch):
    write_video(tmp_path / name, numbered(3), fps=25)
    monkeypatch.chdir(tmp_path)
    with open_video(name, decoder) as reader:
        assert numbers(reader.frames([2])) == [2]


@pytest.mark.parametrize("name", ["unfinished.mkv", "transport.ts", "closed.flv"])
def test_a_file_cut_short_gives_the_frames_that_are_there(files, decoder, tmp_path, name):
    data = files(name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: len(data) * 6 // 10])
    if decoder == "decord" and not FILES[name][2]:
        pytest.skip("decord refuses this container")
    with open_video(path, decoder) as reader:
        assert 20 < reader.num_frames < COUNT
        for index in range(reader.num_frames):
            assert read_or_none(reader, index) in (index, None)
        assert read_or_none(reader, reader.num_frames - 4) is not None


def test_a_file_that_ends_before_its_index_says_is_refused(decoder, tmp_path):
    """MP4 with the index in front: every frame before the cut could be read, as if that were the video."""
    path = tmp_path / "whole.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "5"})
        stream.width = stream.height = 64
        for level in range(0, 200, 10):
            frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), level, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_video(path, decoder) as reader:
        assert reader.num_frames == 20
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DecodeError, match=r"cut\.mp4: truncated: 1 of 20 frames are behind the end of the file$"):
        open_video(cut, decoder)


@pytest.mark.parametrize("place", ["file", "shard"])
@pytest.mark.parametrize("name", ["closed.mkv", "plain.avi", "reordered.avi"])
def test_what_is_left_of_a_file_that_states_its_size_is_the_video(files, decoder, tmp_path, name, place):
    data = files(name).read_bytes()
    left = len(data) * 2 // 3
    path = tmp_path / name
    path.write_bytes(data[:left])
    if place == "shard":
        with tarfile.open(tmp_path / "s.tar", "w") as shard:
            shard.add(path, name)
        with tarfile.open(tmp_path / "s.tar") as shard:
            path = f"{tmp_path}/s.tar#{shard.getmember(name).offset_data}+{left}"
    shown = decoded_in_order(tmp_path / name)
    assert Note("cut", f"{left} of {len(data)} bytes are there") in scan(path).notes
    assert "cut" not in {note.kind for note in scan(files(name)).notes}
    if decoder == "decord":
        with pytest.raises(DecodeError, match="use pyav"):
            open_video(path, decoder)
        return
    with open_video(path, decoder) as reader:
        assert 30 < reader.num_frames < COUNT
        assert numbers(reader.frames(range(reader.num_frames))) == shown[: reader.num_frames]
        assert len(shown) - reader.num_frames <= 1  # the last one, where it is damaged
        for index in (reader.num_frames - 1, 0, 30, 5):
            assert numbers(reader.frames([index])) == [shown[index]]


def test_damage_in_a_file_whose_frames_are_counted_is_told(files, tmp_path):
    """AVI has no times of its own: the frames are counted by decoding, and those behind the damage count too."""
    data = bytearray(files("reordered.avi").read_bytes())
    with av.open(str(files("reordered.avi"))) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    place, size = places[COUNT // 2]
    data[place + 8 : place + 8 + size] = bytes(size)  # behind the chunk's own header
    (tmp_path / "damaged.avi").write_bytes(data)
    with pytest.raises(DecodeError, match=r"damaged\.avi: near frame \d+: invalid data") as caught:
        open_video(tmp_path / "damaged.avi")
    assert caught.value.kind == "damaged"
    near = int(re.search(r"near frame (\d+)", caught.value.reason)[1])
    assert COUNT // 2 - 8 < near <= COUNT // 2


def read_or_none(reader, index: int) -> int | None:
    """The number drawn into frame ``index``; None if it cannot be decoded."""
    try:
        return numbers(reader.frames([index]))[0]
    except DecodeError:
        return None


def damaged(files, folder):
    """closed.mp4 with 200 bytes of zeros in the middle of its pictures."""
    data = bytearray(files("closed.mp4").read_bytes())
    middle = data.index(b"mdat") + (data.index(b"moov") - data.index(b"mdat")) // 2
    data[middle : middle + 200] = bytes(200)
    path = folder / "damaged.mp4"
    path.write_bytes(data)
    return path


def test_damage_in_the_middle_never_gives_another_frame(files, decoder, tmp_path):
    path = damaged(files, tmp_path)
    found = []
    for index in range(0, COUNT, 3):
        try:
            with open_video(path, decoder) as reader:
                found.append(numbers(reader.frames([index]))[0])
        except DecodeError as error:  # at once from decord now and then: its thread runs ahead into the damage
            found.append(None)
            reason = error.reason
    assert all(number in (index, None) for number, index in zip(found, range(0, COUNT, 3), strict=True))
    assert None in found
    assert "frame" in reason


def test_a_lost_frame_is_named_and_the_reader_reads_on(files, tmp_path):
    path = damaged(files, tmp_path)
    with open_video(path, "pyav") as reader:
        found = [read_or_none(reader, index) for index in range(COUNT)]
        lost = found.index(None)
        with pytest.raises(DecodeError, match=f"^cannot decode {path}: frame {lost} of {COUNT}: "):
            reader.frames([lost])
        assert numbers(reader.frames([0, COUNT - 1])) == [0, COUNT - 1]


@pytest.fixture
def bad_paths(tmp_path):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 40)
    os.mkfifo(tmp_path / "pipe.mp4")
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.mp4", "no such file"),
        ("empty.mp4", "empty file"),
        ("noise.mp4", "invalid data found when processing input"),
        ("pipe.mp4", "not a regular file"),
        ("sound.mp4", "no video stream"),
        ("", "a folder without frames (.jpg, .jpeg, .png, .webp)"),
        ("empty.mp4/x.mp4", "not a directory"),
    ],
)
def test_what_is_no_video_is_refused(bad_paths, decoder, name, reason):
    path = bad_paths / name
    with pytest.raises(DecodeError) as caught:
        open_video(path, decoder)
    assert (caught.value.path, caught.value.reason) == (str(path), reason)
    assert str(caught.value) == f"cannot decode {path}: {reason}"


def test_libraries_keep_quiet_about_bad_files(bad_paths, decoder, capfd):
    for name in ("noise.mp4", "sound.mp4"):
        with pytest.raises(DecodeError):
            open_video(bad_paths / name, decoder)
    assert capfd.readouterr().err == ""


def test_the_error_crosses_processes():
    error = pickle.loads(pickle.dumps(DecodeError("a.mp4", "empty file")))
    assert isinstance(error, InputError)
    assert (error.path, error.reason, str(error)) == ("a.mp4", "empty file", "cannot decode a.mp4: empty file")


def test_an_unknown_decoder_is_refused(tmp_path):
    message = "unknown decoder 'opencv'; allowed: auto, pyav, decord, torchcodec, torchcodec_cuda"
    with pytest.raises(InputError, match=message):
        open_video(tmp_path / "a.mp4", "opencv")


@pytest.mark.parametrize(
    ("name", "package", "install"),
    [
        ("decord", "decord", r"pip install decord"),
        ("torchcodec", "torchcodec", r"pip install 'video_rs\[torchcodec\]'"),
    ],
)
def test_an_absent_package_is_named(monkeypatch, files, name, package, install):
    class Absent:
        def find_spec(self, wanted, *_):
            if wanted.split(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {wanted!r}", name=package)

    for module in [m for m in sys.modules if m.split(".")[0] == package or m == f"video_rs.video.readers.{name}"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Absent(), *sys.meta_path])
    with pytest.raises(InputError, match=f"'{name}' needs the package '{package}', which is not installed: {install}"):
        open_video(files("closed.mp4"), name)


def test_a_package_that_cannot_load_its_libraries_is_told_apart(monkeypatch, files):
    class Broken:
        def find_spec(self, wanted, *_):
            if wanted == "torchcodec":
                raise RuntimeError("Could not load libtorchcodec\nmore lines")

    for module in [m for m in sys.modules if m.split(".")[0] == "torchcodec" or m.endswith("readers.torchcodec")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(
        InputError,
        match=r"cannot be imported \(Could not load libtorchcodec\); allowed: auto, pyav, decord, torchcodec_cuda$",
    ):
        open_video(files("closed.mp4"), "torchcodec")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_decoding_on_a_gpu_that_is_not_there_is_refused(files):
    if not importable("torchcodec"):
        pytest.skip("torchcodec cannot be imported here")
    message = (
        "decoder 'torchcodec_cuda' needs an NVIDIA GPU, and torch finds none; allowed here: auto, pyav, decord, torc"
    )
    with pytest.raises(InputError, match=message):
        open_video(files("closed.mp4"), "torchcodec_cuda")


def test_auto_is_pyav(files):
    assert DECODERS == ("auto", "pyav", "decord", "torchcodec", "torchcodec_cuda")
    with open_video(files("closed.mp4")) as auto, open_video(files("closed.mp4"), "pyav") as pyav:
        assert type(auto) is type(pyav)


def test_importing_the_package_imports_no_decoder():
    code = "import sys, video_rs.video; print(sorted({'av','decord','torchcodec'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_pictures_of_16_bits_show_their_upper_eight(tmp_path):
    stored = np.array([[0, 255, 256, 300], [511, 512, 65279, 65535]], np.uint16)
    for number in range(2):
        Image.fromarray(stored).save(tmp_path / f"img_{number}.png")
    with open_video(tmp_path) as reader:
        frames = reader.frames([0, 1])
    assert frames.dtype == torch.uint8
    assert frames[0, :, :, 0].tolist() == (stored >> 8).tolist()
