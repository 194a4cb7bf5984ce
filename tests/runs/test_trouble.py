"""What goes wrong in the middle of a run: disks, damaged files, losses, memory; nothing is lost."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time

import pytest
import torch

from helpers.runs import assert_same_weights, tiny_run, weights
from helpers.videos import make_videos
from video_rs.engine import checkpoint_writer
from video_rs.engine.step import Step
from video_rs.reports import read_log
from video_rs.runs import checkpoints, validation

pytestmark = pytest.mark.usefixtures("blank_charts")


def test_a_run_that_dies_in_its_validation_loses_nothing(tool, videos, config_file, tmp_path, monkeypatch):
    arguments = tiny_run(videos, tmp_path / "run")
    scored = validation.evaluate_records

    def die(*_):
        raise MemoryError("while scoring")

    monkeypatch.setattr(validation, "evaluate_records", die)
    with pytest.raises(MemoryError):
        tool("train_net", "--cfg", config_file, *arguments)
    assert weights(tmp_path / "run")["step"] == 2
    monkeypatch.setattr(validation, "evaluate_records", scored)
    assert tool("train_net", "--cfg", config_file, "--resume", *arguments).code == 0
    validated = [r["step"] for r in read_log(tmp_path / "run" / "log.jsonl") if r["kind"] == "validation"]
    assert validated == [2, 4]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(
    tool, videos, config_file, tmp_path, monkeypatch
):
    run = tmp_path / "run"
    save = checkpoint_writer.save_checkpoint

    def save_late(*arguments):
        """On a slow disk the first checkpoint is still being written when the next step goes wrong."""
        time.sleep(0.5)
        save(*arguments)

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", save_late)
    arguments = tiny_run(videos, run, SOLVER__BASE_LR=1e30, SOLVER__MAX_EPOCH=9, TRAIN__CHECKPOINT_STEPS=1)
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert result.code == 2
    assert re.search(
        r"error: the loss of step \d+ is .*; its clips are in log\.jsonl\); the last checkpoint", result.err
    )
    event = next(r for r in read_log(run / "log.jsonl") if r.get("event") == "non_finite")
    state = weights(run)
    assert state["step"] == event["step"] - 1
    assert event["lr"] > 1e29
    names = {path.name for path in (videos.parent / "train").rglob("*.mp4")}
    assert len(event["videos"]) == 4
    assert {os.path.basename(video) for video in event["videos"]} <= names
    assert all(value.isfinite().all() for value in state["model"].values())
    # The state is worth keeping: nothing was wrong with the list.
    again = tool("train_net", "--cfg", config_file, *arguments)
    assert (again.code, weights(run)["step"]) == (2, state["step"])
    assert f"{run} already holds a run; add --resume to continue it" in again.err
    # The step that was not finite is taken again, with what was changed.
    changed = tiny_run(videos, run, SOLVER__BASE_LR=1e-3, SOLVER__MAX_EPOCH=9, TRAIN__NON_FINITE="skip")
    resumed = tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *changed)
    assert f"resuming {run} at step {event['step'] - 1} of 18" in resumed.out


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(folder):
    """Writes to the disk until nothing more goes; returns the file."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return filler


def test_a_disk_that_fills_during_a_checkpoint(tool, videos, config_file, small_disk, tmp_path, monkeypatch):
    """One line, the checkpoint from before whole, and from it on the run is the one that nothing has happened to."""
    varied = {"TRAIN__CHECKPOINT_STEPS": 1, "TRAIN__LOG_PERIOD": 50, "DATA__VAL_LIST": "", "SOLVER__MAX_EPOCH": 4}
    whole, run = tmp_path / "whole", small_disk / "run"
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, whole, **varied)).code == 0

    save = checkpoints.Checkpoints.save

    def fill_and_save(self, step, wait):
        if step == 3:
            self.wait()
            fill(small_disk)
        save(self, step, wait)

    monkeypatch.setattr(checkpoints.Checkpoints, "save", fill_and_save)
    full = tool("train_net", "--cfg", config_file, *tiny_run(videos, run, **varied))
    monkeypatch.setattr(checkpoints.Checkpoints, "save", save)
    assert full.code == 2
    assert re.fullmatch(
        rf"error: cannot write {run}/checkpoints/last\.pth: No space left on device after \d\.\d MiB; "
        r"the one from before is whole; make room there and go on with --resume",
        full.err.strip().splitlines()[-1],
    )
    assert "Traceback" not in full.err
    assert os.listdir(run / "checkpoints") == ["last.pth"]
    assert weights(run)["step"] == 2
    (small_disk / "filler").unlink()
    resumed = tool("train_net", "--cfg", config_file, "--resume", *tiny_run(videos, run, **varied))
    assert resumed.code == 0, resumed.err
    assert f"resuming {run} at step 2 of 8" in resumed.out
    assert_same_weights(weights(whole), weights(run))


def test_a_full_disk_is_told_whatever_was_written(tool, videos, config_file, small_disk, tmp_path):
    """The log, here."""
    fill(small_disk).rename(small_disk / "other")
    run = small_disk / "run"
    full = tool("train_net", "--cfg", config_file, *tiny_run(videos, run))
    assert full.code == 1
    assert full.err.strip().splitlines()[-1].startswith("error: No space left on device")
    assert full.err.strip().endswith("; free the disk and call it again, training with --resume")
    assert "Traceback" not in full.err


def test_a_damaged_checkpoint_names_the_others(tool, videos, config_file, tmp_path):
    """And from another, the run comes to the same end."""
    run = tmp_path / "run"
    arguments = tiny_run(videos, run, TRAIN__CHECKPOINT_STEPS=1, TRAIN__KEEP_CHECKPOINTS=3, SOLVER__MAX_EPOCH=3)
    assert tool("train_net", "--cfg", config_file, *arguments).code == 0
    last, end = run / "checkpoints" / "last.pth", weights(run)
    assert sorted(os.listdir(last.parent)) == ["best.pth", "last.pth", "step_4.pth", "step_5.pth", "step_6.pth"]
    damaged = bytearray(last.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    last.unlink()
    last.write_bytes(damaged)
    refused = tool("train_net", "--cfg", config_file, "--resume", *arguments)
    assert refused.code == 2
    assert re.fullmatch(
        rf"error: {last} is damaged: the checksum of its part archive/data/\d+ differs; take another checkpoint; "
        r"copy one to last\.pth to go on from it: step_6\.pth, step_5\.pth, step_4\.pth, best\.pth",
        refused.err.strip(),
    )
    last.unlink()
    lost = tool("train_net", "--cfg", config_file, "--resume", *arguments)
    assert lost.code == 2
    assert lost.err.strip() == (
        f"error: {last} is missing, but step_6.pth, step_5.pth, step_4.pth, best.pth are there; copy one to last.pth "
        "to continue from it, or add --overwrite instead of --resume to start over"
    )
    shutil.copy(last.with_name("step_4.pth"), last)
    assert tool("train_net", "--cfg", config_file, "--resume", *arguments).code == 0
    assert_same_weights(weights(run), end)
    assert tool("train_net", "--cfg", config_file, "--overwrite", *arguments).code == 0


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total\n..."),
            "CUDA out of memory. Tried to allocate 2.00 GiB",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
        ),
        (RuntimeError("something else"), None),
    ],
)
def test_a_step_without_enough_memory_says_what_to_lower(tool, videos, config_file, tmp_path, monkeypatch, error, said):
    """The errors are raised by hand: there is no GPU here, and a CPU's memory is not to be used up."""
    plain = Step.__call__

    def second_fails(step, micro_batches, rate=None):
        if step.number == 1:
            raise error
        return plain(step, micro_batches, rate)

    monkeypatch.setattr(Step, "__call__", second_fails)
    arguments = tiny_run(videos, tmp_path / "run", TRAIN__CHECKPOINT_STEPS=1, TRAIN__ACCUMULATION_STEPS=2)
    if said is None:
        with pytest.raises(RuntimeError, match="something else"):
            tool("train_net", "--cfg", config_file, *arguments)
        return
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert result.code == 2
    assert result.err.strip().splitlines()[-1] == (
        f"error: not enough memory for a step on 2 clips of 4 x 32 x 32 at a time ({said}); raise "
        "TRAIN.ACCUMULATION_STEPS (TRAIN.AUTO_BATCH true finds how far; nothing but batch norm and mixing see the "
        "difference), or set TRAIN.ACTIVATION_CHECKPOINTING 5, or set TRAIN.PRECISION bfloat16, or lower "
        "DATA.TRAIN_CROP_SIZE or DATA.NUM_FRAMES; go on with --resume --allow-changes"
    )
    assert weights(tmp_path / "run")["step"] == 1


def test_an_unreadable_video_is_an_empty_slot_named_and_counted(tool, config_file, tmp_path):
    videos = make_videos(tmp_path, per_class=2)
    (tmp_path / "train/dark/0.mp4").write_bytes(b"not a video")
    (tmp_path / "val/dark/1.mp4").write_bytes(b"")
    run = tmp_path / "run"
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, run, DATA__MAX_FAILED_SHARE=0.5))
    assert result.code == 0, result.err
    assert result.out.count(f"cannot read {tmp_path}/train/dark/0.mp4") == 1
    log = read_log(run / "log.jsonl")
    assert [r["failed"] for r in log if r["kind"] == "train"] == [1, 1]
    assert [r["video"] for r in log if r.get("event") == "failed_video"] == [f"{tmp_path}/train/dark/0.mp4"]
    report = (run / "report.html").read_text()
    assert f"{tmp_path}/train/dark/0.mp4" in report
    assert f"{tmp_path}/val/dark/1.mp4" in report
    metrics = json.loads((run / "metrics.json").read_text())
    assert (metrics["videos"], metrics["failed"]) == (4, 1)
    assert metrics["top1_all"] == pytest.approx(metrics["top1"] * 3 / 4)


def test_too_many_unreadable_videos_are_refused_with_what_to_do_and_leave_no_run(tool, config_file, tmp_path):
    """The refusal's own advice is followed, word for word, and the next try needs no flag."""
    videos = make_videos(tmp_path, per_class=2)
    (tmp_path / "train/dark/0.mp4").unlink()
    run, check = tmp_path / "run", tmp_path / "check"
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, run))
    assert result.code == 2
    doctor = f"video-rs check_dataset {videos} --out check"
    assert result.err == (
        "error: 1 of 4 training samples could not be read (25.0%), allowed: 5.0% (DATA.MAX_FAILED_SHARE); each is "
        f"named above; {doctor!r} lists the others in check/clean.csv, for DATA.TRAIN_LIST and DATA.VAL_LIST, or allow "
        "more with DATA.MAX_FAILED_SHARE; then give the command again\n"
    )
    assert f"cannot read {tmp_path}/train/dark/0.mp4: no such file" in result.out
    assert not (run / "checkpoints").exists()

    tool("check_dataset", *doctor.split()[2:-1], check, "--processes", 1)
    again = tool("train_net", "--cfg", config_file, *tiny_run(check / "clean.csv", run))
    assert again.code == 0, again.err
    assert [r["event"] for r in read_log(run / "log.jsonl") if r["kind"] == "event"] == ["started"]
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, run)).code == 2  # now it is a run


def test_a_refused_run_with_a_checkpoint_is_replaced_or_continued(tool, config_file, tmp_path):
    videos = make_videos(tmp_path, per_class=4)
    (tmp_path / "train/dark/0.mp4").unlink()
    often = tiny_run(videos, tmp_path / "run", TRAIN__CHECKPOINT_STEPS=1, TRAIN__BATCH_SIZE=2)
    assert tool("train_net", "--cfg", config_file, *often).code == 2
    assert (tmp_path / "run/checkpoints/last.pth").is_file()
    assert tool("train_net", "--cfg", config_file, *often).code == 2
    allowed = [*often, "DATA.MAX_FAILED_SHARE", 0.5]
    result = tool("train_net", "--cfg", config_file, *allowed, "--resume", "--allow-changes")
    assert result.code == 0, result.err
    assert "resuming" in result.out


def test_files_that_fail_later_stop_a_run_with_its_state_saved(tool, config_file, tmp_path, monkeypatch):
    """A disk that goes away after an epoch costs nothing of what was trained."""
    videos = make_videos(tmp_path, per_class=2)
    run = tmp_path / "run"
    validate = validation.Validation.__call__

    def and_lose_the_disk(self, step):
        validate(self, step)
        for path in (tmp_path / "train").rglob("*.mp4"):
            path.unlink()

    monkeypatch.setattr(validation.Validation, "__call__", and_lose_the_disk)
    arguments = tiny_run(videos, run, SOLVER__MAX_EPOCH=4)
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert result.code == 2
    assert result.err.endswith("DATA.MAX_FAILED_SHARE; go on with --resume --allow-changes\n")
    assert weights(run)["step"] == 2
    refused = tool("train_net", "--cfg", config_file, *arguments)
    assert f"{run} already holds a run; add --resume to continue it" in refused.err
