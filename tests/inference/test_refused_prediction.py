"""What prediction refuses, in one line."""

import pickle
import shutil

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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"label_names": ["a", "b", "c"]},
            "{0} is no whole checkpoint: 3 class names for 2 classes; take another one ",
        ),
        ({"label_names": []}, "{0} is no whole checkpoint: 0 class names for 2 classes; take another one of the run"),
        (
            {"preprocessing": {}},
            "the preprocessing that is stored with the network cannot be read (KeyError('clip')); ",
        ),
        (
            {"calibration": {"temperature": 1.0}},
            "the checkpoint's calibration cannot be read (KeyError('threshold')); ",
        ),
        (
            {"calibration": {"temperature": float("nan"), "threshold": None}},
            "the checkpoint's calibration cannot be read (ValueError('temperature is nan')); make it anew with ",
        ),
        (
            {"calibration": {"temperature": 1.0, "threshold": 1.5}},
            "the checkpoint's calibration cannot be read (ValueError('threshold is 1.5')); make it anew with video-rs",
        ),
    ],
)
def test_a_checkpoint_that_says_what_cannot_be_is_refused(checkpoint, tmp_path, changes, message):
    path = tmp_path / "other.pth"
    torch.save({**load_checkpoint(checkpoint), **changes}, path)
    with pytest.raises(InputError) as caught:
        Predictor.from_checkpoint(path)
    assert str(caught.value).startswith(message.format(path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(checkpoint, tmp_path, value):
    """All answers would be NaN, and look like answers."""
    state = load_checkpoint(checkpoint)
    state["ema"]["fc.weight"][0, 0] = value
    torch.save(state, tmp_path / "diverged.pth")
    with pytest.raises(InputError) as caught:
        Predictor.from_checkpoint(tmp_path / "diverged.pth")
    assert str(caught.value) == (
        "weights in the checkpoint are no finite numbers (first: fc.weight): the training diverged; take an earlier "
        "checkpoint, or train anew with a lower SOLVER.BASE_LR"
    )


def test_a_pickle_is_refused_in_one_line(tool, tmp_path):
    """PyTorch warns of its protocol, which is nothing to a user."""
    (tmp_path / "code.pth").write_bytes(pickle.dumps(pickle.Pickler, protocol=4))
    result = tool("predict", "--checkpoint", tmp_path / "code.pth", tmp_path / "a.mp4")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"error: {tmp_path}/code.pth is refused: it holds more than tensors and plain data, and reading it could run "
        "its code\n"
    )


def test_what_is_read_is_not_written_over(tool, checkpoint, videos, tmp_path):
    """``--csv *.mp4``, as the shell has it, and a list whose answers are to go into itself."""
    films = [shutil.copy(videos.parent / "val/dark/0.mp4", tmp_path / name) for name in ("a.mp4", "b.mp4")]
    result = tool("predict", "--checkpoint", checkpoint, "--csv", *films)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"error: --csv {films[0]} is there, and is no text; it stays: take another file\n"
    result = tool("predict", "--checkpoint", checkpoint, videos, "--json", tmp_path / "new.json", "--csv", videos)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"error: --csv {videos} is what is read, and would be lost; take another file\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]


def test_an_empty_name_is_refused(tool, checkpoint):
    result = tool("predict", "--checkpoint", checkpoint, "a.mp4", "")
    assert result.err == "error: VIDEO is empty; name a file, a URL, a folder, a pattern, or a list\n"


def test_names_are_printed_in_one_line(tool, checkpoint, videos, tmp_path):
    film = shutil.copy(videos.parent / "val/dark/0.mp4", tmp_path / "a\nb\x1b[2J.mp4")
    result = tool("predict", "--checkpoint", checkpoint, film)
    assert result.code == 0
    assert result.out.startswith(f"{tmp_path}/a\\nb\\x1b[2J.mp4\n")


def test_several_videos_that_cannot_be_read_are_counted(tool, checkpoint, tmp_path):
    result = tool("predict", "--checkpoint", checkpoint, tmp_path / "a.mp4", tmp_path / "b.mp4", "--processes", 1)
    assert result.err == (
        "error: 2 of 2 videos could not be read; each is named above with its reason, first: "
        f"{tmp_path}/a.mp4: no such file\n"
    )
