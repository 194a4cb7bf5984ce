"""A decoder leaves out what nobody asked for; whatever is asked for is bit for bit what a full decode shows."""

import av
import numpy as np
import pytest
import torch

from video_rs.video import Box, open_video
from video_rs.video.encoding import write_video
from video_rs.video.index.numbered_packets import NumberedPackets

COUNT = 61

# Of each file: options of x264, and how many frames are decoded for every second one of the first 41. The seek to each
# of the two key frames leaves out the frame before it.
LAYOUTS = {
    "no B-frames": ({"bf": "0"}, 39),
    "one disposable": ({"bf": "1", "x264-params": "b-adapt=0:b-pyramid=none:scenecut=0"}, 21),
    "chosen by x264": ({"bf": "3", "x264-params": "b-pyramid=none"}, None),
    "pyramid": ({"bf": "3", "x264-params": "b-adapt=0:b-pyramid=normal"}, None),
    "weighted": ({"bf": "1", "x264-params": "b-adapt=0:b-pyramid=none:weightp=2:weightb=1"}, None),
    "open groups": ({"bf": "1", "x264-params": "b-adapt=0:b-pyramid=none:open-gop=1:scenecut=0"}, None),
    "refreshed": ({"bf": "1", "x264-params": "b-adapt=0:intra-refresh=1"}, None),
}


def moving_and_fading() -> np.ndarray:
    """Texture that moves and becomes darker, which x264 predicts by weights: uint8 [T,H,W,3]."""
    texture = np.kron(np.random.default_rng(0).integers(0, 256, (12, 28, 3)), np.ones((4, 4, 1)))
    frames = [np.roll(texture, (t, 2 * t), axis=(0, 1)) * (1 - t / 80) for t in range(COUNT)]
    return np.stack(frames).astype(np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layouts")
    pictures = moving_and_fading()
    paths = {}
    for name, (options, _) in LAYOUTS.items():
        paths[name] = folder / f"{name.replace(' ', '_')}.mp4"
        write_video(paths[name], pictures, fps=25, keyframe_interval=20, options=options)
    return paths


def fully_decoded(path) -> torch.Tensor:
    """All frames as a plain decode shows them, uint8 [T,H,W,3]."""
    with av.open(str(path)) as container:
        return torch.from_numpy(np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]))


@pytest.mark.parametrize("name", LAYOUTS)
def test_frames_are_those_of_a_full_decode(files, name):
    expected = fully_decoded(files[name])
    assert len(expected) == COUNT
    for stride in (1, 2, 3, 4):
        for first in (0, 1, 2, 7, 18, 19, 20, 33, COUNT - 5 * stride - 1, COUNT - 1):
            wanted = list(range(first, min(first + 6 * stride, COUNT), stride))
            with open_video(files[name], "pyav") as reader:
                assert torch.equal(reader.frames(wanted), expected[wanted]), (stride, first)


@pytest.mark.parametrize("name", ["no B-frames", "one disposable"])
def test_only_what_is_needed_is_decoded(files, name, monkeypatch):
    decoded = []
    decode = NumberedPackets.decode

    def counted(packets, *args, **options):
        frames = decode(packets, *args, **options)
        decoded.extend(frames)
        return frames

    with open_video(files[name], "pyav") as reader:
        monkeypatch.setattr(NumberedPackets, "decode", counted)
        reader.frames(range(0, 41, 2))
        assert len({frame.pts for frame in decoded}) == LAYOUTS[name][1]


def test_the_first_frame_is_looked_at_once(files, monkeypatch):
    path = files["one disposable"]
    with open_video(path, "pyav") as reader:
        size = reader.height, reader.width
    numbers = []
    decode = NumberedPackets.decode

    def counted(packets, *args, **options):
        frames = decode(packets, *args, **options)
        numbers.extend(frame.pts for frame in frames)
        return frames

    monkeypatch.setattr(NumberedPackets, "decode", counted)
    with open_video(path, "pyav") as reader:
        assert (reader.height, reader.width) == size == (48, 112)
        assert numbers == []
        reader.frames([45])
    assert min(numbers) >= 40

    # Another file takes its place.
    write_video(path, np.zeros((5, 32, 64, 3), np.uint8), fps=25)
    with open_video(path, "pyav") as reader:
        assert (reader.num_frames, reader.height, reader.width) == (5, 32, 64)


BOXES = [
    Box(0, 0, 1, 1),
    Box(3, 5, 20, 31),
    Box(2, 4, 16, 32),
    Box(10, 1, 7, 60),
    Box(1, 1, 46, 109),
    Box(47, 109, 1, 1),
]


@pytest.mark.parametrize(
    ("pixels", "size", "turn"),
    [
        ("yuv420p", (48, 110), 0),
        ("yuvj420p", (48, 110), 0),
        ("yuv420p", (48, 110), 180),
        ("yuv420p", (110, 48), 90),
        ("yuv420p10le", (48, 110), 0),
        ("yuv422p", (48, 110), 0),
        ("yuv444p", (49, 111), 0),
    ],
)
def test_a_box_shows_the_pixels_of_the_frame(tmp_path, pixels, size, turn):
    path = tmp_path / "a.mp4"
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1", "bf": "1"})
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        if turn:
            stream.set_display_rotation(turn)
        for _ in range(4):
            noise = random.integers(0, 256, (*size, 3), dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, "rgb24").reformat(format=pixels)))
        container.mux(stream.encode(None))
    for box in BOXES:
        with open_video(path, "pyav") as reader:
            expected = reader.frames([3, 0, 3])
            shown = reader.boxes([3, 0, 3], box)
        top, left, height, width = box
        assert shown.dtype == torch.uint8
        assert torch.equal(shown, expected[:, top : top + height, left : left + width])
