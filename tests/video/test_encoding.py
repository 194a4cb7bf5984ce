"""Writing a video and reading it back with plain PyAV."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from video_rs.runtime.errors import InputError
from video_rs.video.encoding import encode_mp4, write_video

# A flat gray survives the trip through limited-range YUV and the encoder at crf 18 within 3 levels.
GRAY_TOLERANCE = 3

# Else x264 sets key frames before they are due where the gray steps up.
NO_SCENE_CUTS = {"x264-params": "scenecut=0"}


def grays(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    """uint8 [T,H,W,3]; frame t is flat gray of level 20 + 8 t."""
    levels = (20 + 8 * np.arange(count)).astype(np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (count, height, width, 3)).copy()


def read(path) -> tuple[np.ndarray, list[bool], Fraction, str, str]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
        keys = [bool(frame.key_frame) for frame in frames]
        return pixels, keys, stream.average_rate, stream.codec_context.name, frames[0].format.name


@pytest.mark.parametrize(
    "give",
    [lambda f: f, torch.from_numpy, lambda f: iter(f), lambda f: (torch.from_numpy(x) for x in f)],
    ids=["numpy", "torch", "iterator", "tensor generator"],
)
def test_every_kind_of_frames_comes_back(tmp_path, give):
    frames = grays(20)
    write_video(tmp_path / "a.mp4", give(frames), fps=12, options=NO_SCENE_CUTS)
    pixels, keys, rate, codec, pixel_format = read(tmp_path / "a.mp4")
    assert pixels.shape == frames.shape
    assert np.abs(pixels.astype(int) - frames).max() <= GRAY_TOLERANCE
    assert (rate, codec, pixel_format) == (12, "h264", "yuv420p")
    assert [i for i, key in enumerate(keys) if key] == [0, 12]


def test_key_frame_interval_and_broken_rates(tmp_path):
    write_video(tmp_path / "a.mp4", grays(9), fps=30000 / 1001, keyframe_interval=4, options=NO_SCENE_CUTS)
    _, keys, rate, *_ = read(tmp_path / "a.mp4")
    assert [i for i, key in enumerate(keys) if key] == [0, 4, 8]
    assert rate == Fraction(30000, 1001)


def test_crf_and_options_reach_the_encoder(tmp_path):
    noise = torch.randint(0, 256, (6, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_video(tmp_path / "fine.mp4", noise, fps=10, crf=10)
    write_video(tmp_path / "coarse.mp4", noise, fps=10, crf=45)
    write_video(tmp_path / "no_b.mp4", noise, fps=10, options={"preset": "ultrafast"})
    assert (tmp_path / "coarse.mp4").stat().st_size < (tmp_path / "fine.mp4").stat().st_size / 4
    assert (tmp_path / "no_b.mp4").stat().st_size != (tmp_path / "fine.mp4").stat().st_size


def test_the_same_frames_give_the_same_bytes(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    frames = np.stack([np.roll(noise, (t, 2 * t), axis=(0, 1)) for t in range(24)])
    written = set()
    for _ in range(20):  # with AVX-512 eight runs of twenty differed from the rest
        write_video(tmp_path / "a.mp4", frames, fps=12, crf=20)
        written.add((tmp_path / "a.mp4").read_bytes())
    assert len(written) == 1


@pytest.mark.parametrize(
    ("frames", "fps", "codec", "name", "message"),
    [
        (grays(2, 33, 48), 10, "libx264", "a.mp4", "height and width must be even for yuv420p, got 33x48"),
        (grays(2).astype(np.float32), 10, "libx264", "a.mp4", r"must be uint8 \[H, W, 3\], got float32"),
        (grays(2)[0], 10, "libx264", "a.mp4", r"must be uint8 \[T, H, W, 3\], got \[32, 48, 3\]"),
        ([grays(1)[0], grays(1, 16, 16)[0]], 10, "libx264", "a.mp4", "must be 32x48 as the first, got"),
        ([], 10, "libx264", "a.mp4", "no frames to write"),
        (grays(2), 0, "libx264", "a.mp4", "fps must be above 0, got 0"),
        (grays(2), 10, "nonesuch", "a.mp4", "a.mp4 with codec 'nonesuch'"),
        (grays(2), 10, "libx264", "a.nonesuch", "cannot write .*a.nonesuch"),
    ],
)
def test_refused_input_leaves_no_file(tmp_path, frames, fps, codec, name, message):
    with pytest.raises(InputError, match=message):
        write_video(tmp_path / name, frames, fps=fps, codec=codec)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_keeps_the_old_file(tmp_path):
    write_video(tmp_path / "a.mp4", grays(3), fps=10)
    before = (tmp_path / "a.mp4").read_bytes()

    def breaks_off():
        yield grays(1)[0]
        raise RuntimeError("the source broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        write_video(tmp_path / "a.mp4", breaks_off(), fps=10)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == before


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OSError, match=r"cannot write .*nowhere/a\.mp4: No such file"):
        write_video(tmp_path / "nowhere" / "a.mp4", grays(2), fps=10)


def test_an_mp4_in_memory_is_the_file_that_would_be_written(tmp_path):
    frames = grays(25)
    options = {"preset": "veryfast"}
    write_video(tmp_path / "x.mp4", frames, 7.5, keyframe_interval=20, crf=23, options=options)
    content = encode_mp4(frames, 7.5, keyframe_interval=20, options={"crf": "23", **options})
    assert content == (tmp_path / "x.mp4").read_bytes()
    with pytest.raises(InputError, match=r"^no frames to write to an MP4; give at least one$"):
        encode_mp4([], 7.5, keyframe_interval=20, options=options)
