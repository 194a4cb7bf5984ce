"""What prediction refuses, in one line."""

import numpy as np
import pytest
import torch

from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference import Predictor
from video_rs.runtime.errors import InputError


@pytest.fixture
def checkpoint(trained):
    return trained / "checkpoints" / "last.pth"


def test_frames_at_no_rate_are_refused(checkpoint):
    predictor = Predictor.from_checkpoint(checkpoint)
    with pytest.raises(InputError, match=r"fps: got inf, allowed: above 0, finite"):
        predictor.predict(np.zeros((4, 32, 32, 3), np.uint8), fps=float("inf"))


@pytest.mark.parametrize("device", ["gpu", "cuda:0"])
def test_an_unknown_device_is_refused(checkpoint, device):
    with pytest.raises(InputError, match=rf"device is '{device}'; allowed: auto, cpu, cuda, mps"):
        Predictor.from_checkpoint(checkpoint, device=device)


def test_a_network_of_another_version_is_refused(checkpoint, tmp_path):
    state = load_checkpoint(checkpoint)
    state["architecture"]["later"] = 1
    torch.save(state, tmp_path / "later.pth")
    with pytest.raises(
        InputError, match=r"the checkpoint describes a network that this version does not know \(.*later"
    ):
        Predictor.from_checkpoint(tmp_path / "later.pth")


def test_fewer_processes_than_none_are_refused(tool, checkpoint, videos):
    result = tool("predict", "--checkpoint", checkpoint, videos.parent / "val/dark/0.mp4", "--processes", -1)
    assert (result.code, result.err) == (2, "error: --processes: got -1, allowed: from 1\n")
