"""Checkpoints are written behind the back of the training: what they hold, which are kept, and what fails."""

import os
import threading

import pytest
import torch

from helpers.checkpoints import state
from video_rs.engine import checkpoint_writer
from video_rs.engine.checkpoint import load_checkpoint, save_checkpoint
from video_rs.engine.checkpoint_writer import CheckpointWriter, kept_checkpoints


def test_it_holds_the_state_of_the_call_though_training_goes_on(tmp_path, monkeypatch):
    """The file is not begun before the weights have changed."""
    changed = threading.Event()

    def late(path, written, then):
        assert changed.wait(60)
        save_checkpoint(path, written, then)

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", late)
    live = {**state(3), "optimizer": {"state": {0: {"momentum_buffer": torch.ones(4)}}, "param_groups": [{"lr": 0.1}]}}
    writer = CheckpointWriter(tmp_path / "last.pth")
    writer.write(live)
    live["model"]["fc.weight"].zero_()
    live["optimizer"]["state"][0]["momentum_buffer"].zero_()
    live["optimizer"]["param_groups"][0]["lr"] = 7
    live["step"] = 4
    assert not (tmp_path / "last.pth").exists()
    changed.set()
    writer.wait()
    loaded = load_checkpoint(tmp_path / "last.pth")
    assert loaded["step"] == 3
    assert torch.equal(loaded["model"]["fc.weight"], torch.full((2, 3), 3.0))
    assert torch.equal(loaded["optimizer"]["state"][0]["momentum_buffer"], torch.ones(4))
    assert loaded["optimizer"]["param_groups"] == [{"lr": 0.1}]
    assert loaded["architecture"] == state()["architecture"]
    assert writer.error is None


def test_the_memory_format_of_the_weights_is_kept(tmp_path):
    kernel = torch.arange(48.0).view(2, 3, 2, 2, 2).to(memory_format=torch.channels_last_3d)
    writer = CheckpointWriter(tmp_path / "last.pth")
    writer.write({**state(), "model": {"kernel": kernel}})
    writer.wait()
    loaded = load_checkpoint(tmp_path / "last.pth")["model"]["kernel"]
    assert torch.equal(loaded, kernel)
    assert loaded.stride() == kernel.stride()


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_the_last_ones_are_kept(tmp_path, keep):
    writer = CheckpointWriter(tmp_path / "last.pth", keep)
    for step in (8, 9, 10, 11):
        writer.write(state(step))
    writer.wait()
    kept = [] if keep == 1 else [f"step_{step}.pth" for step in range(11, 11 - keep, -1)]
    assert [path.name for path in kept_checkpoints(tmp_path)] == kept
    assert sorted(os.listdir(tmp_path)) == sorted(["last.pth", *kept])
    assert load_checkpoint(tmp_path / "last.pth")["step"] == 11
    assert [load_checkpoint(tmp_path / name)["step"] for name in kept] == [int(name[5:-4]) for name in kept]


@pytest.mark.parametrize("keep", [1, 2])
def test_a_run_that_keeps_fewer_than_before_removes_the_older_ones(tmp_path, keep):
    for number, steps in ((3, (1, 2, 3)), (keep, (4,))):
        writer = CheckpointWriter(tmp_path / "last.pth", number)
        for step in steps:
            writer.write(state(step))
        writer.wait()
    kept = [] if keep == 1 else ["step_4.pth", "step_3.pth"]
    assert [path.name for path in kept_checkpoints(tmp_path)] == kept


def test_who_goes_back_keeps_what_is_written_then(tmp_path):
    """Steps are kept by when they were written; another file of a similar name is nobody's."""
    writer = CheckpointWriter(tmp_path / "last.pth", 2)
    (tmp_path / "step_best.pth").write_text("mine")
    for step in (90, 100, 70, 80):
        writer.write(state(step))
    writer.wait()
    assert [path.name for path in kept_checkpoints(tmp_path)] == ["step_80.pth", "step_70.pth"]
    assert (tmp_path / "step_best.pth").read_text() == "mine"


def test_what_fails_is_kept_for_the_thread_that_trains(tmp_path):
    writer = CheckpointWriter(tmp_path / "last.pth")
    writer.write(state(1))
    writer.wait()
    (tmp_path / "last.pth.partial").mkdir()
    writer.write(state(2))
    writer.wait()
    assert str(writer.error) == (
        f"cannot write {tmp_path}/last.pth: Is a directory; the one from before is whole; make room there and go on"
    )
    writer.write(state(3))  # nothing more is tried
    assert load_checkpoint(tmp_path / "last.pth")["step"] == 1


def test_a_state_that_cannot_be_written_is_told_too(tmp_path):
    writer = CheckpointWriter(tmp_path / "last.pth")
    writer.write({**state(1), "config": lambda: None})
    writer.wait()
    assert str(writer.error).startswith(f"cannot write {tmp_path}/last.pth: ")
    assert os.listdir(tmp_path) == []
