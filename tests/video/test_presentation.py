"""Frames as they are shown: turned, mirrored, interlaced, of more than 8 bits; alike with every decoder, or refused."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from helpers.clips import clip_spec, train_transform
from helpers.films import with_colour_matrix
from helpers.numbered_videos import importable
from helpers.programs import PROGRAMS
from video_rs.curation.prepare.reencoding import reencode
from video_rs.data.dataset import ClipReader, VideoSource
from video_rs.lists.records import VideoRecord
from video_rs.video import DecodeError, open_video
from video_rs.video.index.bitstream import states_orientation
from video_rs.video.probing.probe import probe

HEIGHT, WIDTH, COUNT = 64, 96, 6  # decord refuses sides that are no multiples of 32
QUARTER = 1 << 16
# Where a matrix sends a step to the right and a step down, of stored pixels: x to the right, y down.
MATRICES = {
    "as stored": ((1, 0), (0, 1)),
    "turned 90": ((0, -1), (1, 0)),
    "turned 180": ((-1, 0), (0, -1)),
    "turned 270": ((0, 1), (-1, 0)),
    "left to right": ((-1, 0), (0, 1)),
    "top to bottom": ((1, 0), (0, -1)),
    "transposed": ((0, 1), (1, 0)),
    "anti-transposed": ((0, -1), (-1, 0)),
}


def scene() -> np.ndarray:
    """uint8 [T, H, W, 3]: four corners of four colours and a bar that moves; no two orientations look alike."""
    video = np.empty((COUNT, HEIGHT, WIDTH, 3), np.uint8)
    video[:, :32, :48] = 200, 40, 40
    video[:, :32, 48:] = 40, 200, 40
    video[:, 32:, :48] = 40, 40, 200
    video[:, 32:, 48:] = 220, 220, 60
    for number in range(COUNT):
        video[number, 4:12, 8 * number : 8 * number + 8] = 255
    return video


def film(path, matrix=None, message=None, degrees=None, codec="libx264"):
    """Write the scene with a display matrix of the container, or the codec's own orientation message, or both.

    ``message``: the degrees counter-clockwise and whether the picture is mirrored left to right before.
    """
    with av.open(str(path), "w") as container:
        options = {"crf": "10", "x265-params": "log-level=none"}
        stream = container.add_stream(codec, rate=10, options=options if codec == "libx265" else {"crf": "10"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        if matrix is not None:
            (a, b), (c, d) = (np.array(matrix) * QUARTER).astype(int).tolist()
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        if degrees is not None:
            stream.set_display_rotation(degrees)
        pictures = [av.VideoFrame.from_ndarray(picture, "rgb24") for picture in scene()]
        packets = [packet for frame in [*pictures, None] for packet in stream.encode(frame)]
        if message:
            packets[0] = with_message(packets[0], codec, *message)
        for packet in packets:
            container.mux(packet)
    return path


def with_message(packet, codec, degrees, mirrored):
    """The packet behind an SEI message of type 47 (ITU-T H.264 and H.265, annexes D): it holds from here on."""
    ending, header = ("0100", b"\x06") if codec == "libx264" else ("1", b"\x4e\x01")
    bits = f"0{mirrored:d}0{degrees * 65536 // 360:016b}{ending}1".ljust(24, "0")
    unit = header + bytes([47, 3]) + int(bits, 2).to_bytes(3) + b"\x80"
    made = av.Packet(b"\0\0\0\1" + unit + bytes(packet))
    made.pts, made.dts, made.time_base, made.stream = packet.pts, packet.dts, packet.time_base, packet.stream
    made.is_keyframe = True
    return made


def carried(matrix, frames: np.ndarray) -> np.ndarray:
    """Each pixel of [T, H, W, 3] where the matrix sends it."""
    rows, columns = np.mgrid[: frames.shape[1], : frames.shape[2]]
    (right_x, right_y), (down_x, down_y) = matrix
    x, y = columns * right_x + rows * down_x, columns * right_y + rows * down_y
    x, y = x - x.min(), y - y.min()
    shown = np.empty((len(frames), y.max() + 1, x.max() + 1, 3), frames.dtype)
    shown[:, y, x] = frames
    return shown


def same(frames: torch.Tensor, expected: np.ndarray) -> bool:
    """Whether every pixel is equal."""
    return np.array_equal(frames.numpy(), expected)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> np.ndarray:
    """The frames of the scene as encoded, decoded with no matrix at all."""
    path = film(tmp_path_factory.mktemp("stored") / "plain.mp4")
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("name", MATRICES)
def test_the_container_s_matrix_is_applied_whole(tmp_path, stored, decoder, name):
    path = film(tmp_path / "turned.mp4", MATRICES[name])
    expected = carried(MATRICES[name], stored)
    mirrored = np.linalg.det(MATRICES[name]) < 0
    if decoder == "decord" and mirrored:
        reason = r"decord shows other pictures, by \d+\.\d of 255 levels on average; use pyav"
        with pytest.raises(DecodeError, match=reason):
            open_video(path, decoder)
        return
    with open_video(path, decoder) as reader:
        assert (reader.height, reader.width) == expected.shape[1:3]
        assert same(reader.frames(range(COUNT)), expected)
        assert same(reader.frames([4, 1]), expected[[4, 1]])


# What the message says, and the matrix that means the same.
MESSAGES = {
    (90, False): "turned 90",
    (180, False): "turned 180",
    (0, True): "left to right",
    (90, True): "transposed",
}


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
@pytest.mark.parametrize("message", MESSAGES)
def test_the_orientation_in_the_video_data_is_applied(tmp_path, decoder, message, codec):
    path = film(tmp_path / "turned.mp4", message=message, codec=codec)
    with av.open(str(path)) as container:
        stored = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    if decoder == "decord":
        with pytest.raises(DecodeError, match="decord would not find the right frames in this file; use pyav"):
            open_video(path, decoder)
        return
    expected = carried(MATRICES[MESSAGES[message]], stored)
    with open_video(path, decoder) as reader:
        assert same(reader.frames(range(COUNT)), expected)
        assert same(reader.frames([5]), expected[[5]])


def test_the_container_has_the_last_word(tmp_path, stored):
    """FFmpeg puts its matrix in front of the one in the data, and TorchCodec knows no other."""
    path = film(tmp_path / "both.mp4", MATRICES["left to right"], message=(90, False))
    for name in ("pyav", "torchcodec"):
        if importable(name):
            with open_video(path, name) as reader:
                assert same(reader.frames(range(COUNT)), carried(MATRICES["left to right"], stored))


@pytest.mark.parametrize("degrees", [45, 91])
def test_another_angle_is_shown_as_stored(tmp_path, stored, decoder, degrees):
    with open_video(film(tmp_path / "skewed.mp4", degrees=degrees), decoder) as reader:
        assert same(reader.frames(range(COUNT)), stored)


@pytest.mark.parametrize(
    "matrix", [((0, 0), (0, 0)), ((1, 0), (0, 0)), ((1, 0), (0.6, 0.8))], ids=["zeros", "a line", "skewed"]
)
def test_a_matrix_that_is_no_turn_is_not_applied(tmp_path, stored, matrix):
    with open_video(film(tmp_path / "garbage.mp4", matrix), "pyav") as reader:
        assert same(reader.frames(range(COUNT)), stored)


def test_the_message_is_found_among_others():
    def packet(codec, *messages):
        header = b"\x06" if codec == "h264" else b"\x4e\x01"
        unit = header + b"".join(messages) + b"\x80"
        return memoryview(b"\0\0\0\2\x67\x64" + len(unit).to_bytes(4) + unit)

    orientation, long, far = b"\x2f\x03\x08\x00\x09", b"\x05\xff\x01" + bytes(256), b"\xff\x30\x01\x00"
    for codec in ("h264", "hevc"):
        assert states_orientation(codec, packet(codec, orientation))
        assert states_orientation(codec, packet(codec, long, far, orientation))
        assert not states_orientation(codec, packet(codec, long, far))
        assert not states_orientation(codec, packet(codec, b"\xff\xff"))
    assert not states_orientation("h264", packet("hevc", orientation))
    assert not states_orientation("mpeg4", packet("h264", orientation))


def facts(path, *names):
    """These attributes of the file's probe."""
    found, _ = probe(str(path))
    return tuple(getattr(found, name) for name in names)


def test_the_probe_tells_how_a_file_is_shown(tmp_path):
    names = ("quarter_turns", "mirrored", "other_angle", "height", "width")
    plain, turned, mirrored, skewed = (tmp_path / f"{name}.mp4" for name in "abcd")
    assert facts(film(plain), *names) == (0, False, 0.0, HEIGHT, WIDTH)
    assert facts(film(turned, message=(270, False)), *names) == (3, False, 0.0, WIDTH, HEIGHT)
    assert facts(film(mirrored, MATRICES["anti-transposed"]), *names) == (3, True, 0.0, WIDTH, HEIGHT)
    assert facts(film(skewed, degrees=45), *names) == (0, False, pytest.approx(45, abs=0.01), HEIGHT, WIDTH)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", ["turned 270", "left to right", "transposed", "message", "other angle"])
def test_prepared_files_show_the_same_without_a_matrix(tmp_path, stored, program, name):
    if name == "message":
        source, matrix = film(tmp_path / "a.mp4", message=(90, True)), MATRICES["transposed"]
    elif name == "other angle":
        source, matrix = film(tmp_path / "a.mp4", degrees=30), MATRICES["as stored"]
    else:
        source, matrix = film(tmp_path / "a.mp4", MATRICES[name]), MATRICES[name]
    reencode(source, tmp_path / "copy.mp4", short_side=HEIGHT, crf=5, program=program)
    with av.open(str(tmp_path / "copy.mp4")) as container:
        frames = list(container.decode(video=0))
    assert all(frame.side_data.get("DISPLAYMATRIX") is None for frame in frames)
    copied = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    # Another orientation is 60 levels and more away; an encoder of crf 5 is not one.
    assert np.abs(copied.astype(int) - carried(matrix, stored)).mean() < 2


# -- Colours


def planes_film(path, pixel_format, planes, codec="libx264", **settings):
    """Write frames given by their planes; ``settings`` are attributes of the encoder."""
    # Without B-frames: of two frames, x265 may give the second a time of decoding behind that of showing.
    options = {"crf": "0", "x265-params": "log-level=none:bframes=0", **settings.pop("options", {})}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        height, width = planes[0][0].shape
        stream.height, stream.width, stream.pix_fmt = height, width, pixel_format
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for number, (luma, *chroma) in enumerate(planes):
            frame = av.VideoFrame(width, height, pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, 10)
            for plane, values in zip(frame.planes, (luma, *chroma), strict=True):
                rows = np.zeros((plane.height, plane.line_size // values.itemsize), values.dtype)
                rows[:, : plane.width] = values
                plane.update(rows)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def rgb(luma, blue, red):
    """BT.601 of limited range, 8 bits: float [H, W] each -> [H, W, 3]."""
    y, b, r = 1.164383 * (luma - 16), blue - 128, red - 128
    return np.stack([y + 1.596027 * r, y - 0.391762 * b - 0.812968 * r, y + 2.017232 * b], axis=-1).clip(0, 255)


def test_interlaced_frames_have_the_chroma_of_their_lines(tmp_path, decoder):
    """As ffmpeg converts them: each line of chroma for two lines, as in frames of one piece, not field by field."""
    chance = np.random.default_rng(0)
    luma = np.full((64, 96), 120, np.uint8)
    blue, red = (np.repeat(chance.integers(60, 190, (32, 1)), 48, axis=1).astype(np.uint8) for _ in range(2))
    path = planes_film(tmp_path / "a.mp4", "yuv420p", [(luma, blue, red)] * 2, options={"flags": "+ilme+ildct"})
    with av.open(str(path)) as container:
        assert next(container.decode(video=0)).interlaced_frame
    twice = [np.kron(plane, np.ones((2, 2))) for plane in (blue, red)]
    with open_video(path, decoder) as reader:
        # Tables of 8 bits round each of three terms.
        assert np.abs(reader.frames([1])[0].numpy() - rgb(luma.astype(float), *twice)).max() <= 3
    assert facts(path, "interlaced") == (True,)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_more_than_8_bits_have_their_chroma_where_it_belongs(tmp_path, decoder, codec):
    """At the left one of two pixels: mirrored about one of these, a ramp of chroma has the same colours there."""
    ramp = 240 + 10 * np.arange(48, dtype=np.uint16)
    blue = np.repeat(ramp[None], 32, axis=0)
    red = np.repeat(np.uint16(512), 48)[None].repeat(32, axis=0)
    luma = np.full((64, 96), 480, np.uint16)
    path = planes_film(tmp_path / "a.mp4", "yuv420p10le", [(luma, blue, red), (luma, blue[:, ::-1], red)], codec)
    if decoder == "decord":
        with pytest.raises(DecodeError, match="decord converts 10 bits to other colours; use pyav"):
            open_video(path, decoder)
        return
    with open_video(path, decoder) as reader:
        # Columns are left to right 0 to 95; chroma is at 0, 2 .. 94. Rows differ by dithering.
        shown, mirrored = reader.frames([0, 1])[..., 2].float().mean(dim=1).numpy()
    inner = np.arange(8, 88, 2)
    # 3 levels where the chroma is taken to be between the two pixels.
    assert np.abs(shown[inner] - mirrored[94 - inner]).mean() < 0.5


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG"), (14, "")])
def test_the_probe_names_a_high_dynamic_range(tmp_path, transfer, name):
    grey = [np.full(size, 500, np.uint16) for size in ((64, 96), (32, 48), (32, 48))]
    path = planes_film(tmp_path / "a.mp4", "yuv420p10le", [grey], color_trc=transfer, colorspace=9, color_primaries=9)
    assert facts(path, "hdr", "interlaced", "pixel_format") == (name, False, "yuv420p10le")
    reencode(path, tmp_path / "copy.mp4", short_side=64)
    assert facts(tmp_path / "copy.mp4", "hdr", "pixel_format") == (name, "yuv420p")


@pytest.mark.parametrize("matrix", [8, 10, 12, 14])
def test_colours_that_cannot_be_converted_cost_their_file_alone(tmp_path, matrix):
    """YCgCo and others: the conversion to RGB knows no such matrix."""
    path = with_colour_matrix(film(tmp_path / "plain.mp4"), tmp_path / "other.mp4", matrix)
    reason = "its frames cannot be made RGB pictures (function not implemented)"
    with open_video(path) as reader, pytest.raises(DecodeError) as refused:
        reader.frames([0])
    assert (str(refused.value), refused.value.kind) == (f"cannot decode {path}: {reason}", "unreadable")

    record = VideoRecord(str(path), (1,), None, None, "id")
    [sample] = ClipReader(clip_spec(4, 1), train_transform(crop_size=16), VideoSource(), seed=0)(record, 0, 0)
    assert (sample.clip, sample.labels, sample.error) == (None, (1,), reason)

    facts, _ = probe(str(path), "ends")
    assert (facts.kind, facts.reason) == ("unreadable", reason)


@pytest.mark.parametrize("program", PROGRAMS)
def test_colours_that_cannot_be_converted_are_not_reencoded(tmp_path, program):
    path = with_colour_matrix(film(tmp_path / "plain.mp4"), tmp_path / "other.mp4", 8)
    reason = r"its frames cannot be converted \(function not implemented\)"
    with pytest.raises(DecodeError, match=reason):
        reencode(path, tmp_path / "out.mp4", short_side=32, program=program)
    assert not (tmp_path / "out.mp4").exists()
