"""The decoder of a GPU gives the frames of the CPU's, but for rounding."""

import numpy as np
import pytest
import torch

from helpers.numbered_videos import COUNT, FILES, clock, importable, numbers
from video_rs.video import open_video

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("name", ["closed.mp4", "open.mp4"])
def test_every_frame_is_that_of_the_cpu(tmp_path, device, name):
    """All at once, and one by one in any order."""
    if not importable("torchcodec"):
        pytest.skip("torchcodec cannot be imported here")
    codec, options, _ = FILES[name]
    path = clock(tmp_path / name, codec, options)
    decoder = "torchcodec_cuda" if device.type == "cuda" else "torchcodec"
    order = np.random.default_rng(0).integers(0, COUNT, 16).tolist()

    with open_video(path, decoder) as gpu, open_video(path) as cpu:
        expected = cpu.frames(range(COUNT))
        at_once = gpu.frames(range(COUNT))
        one_by_one = torch.cat([gpu.frames([index]) for index in order])
    assert (at_once.device.type, at_once.dtype, at_once.shape) == ("cpu", torch.uint8, expected.shape)
    assert numbers(at_once) == list(range(COUNT))
    assert torch.equal(one_by_one, at_once[order])
    # Colours are rounded otherwise.
    assert (at_once.int() - expected.int()).abs().max() <= 4
