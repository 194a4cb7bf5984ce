"""tools/train_net.py on real files: what a run leaves, how it continues, and what it refuses."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from helpers.runs import tiny_run
from helpers.tools import ROOT
from helpers.videos import make_videos, moving_square
from video_rs.config import load_config
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.step import Step
from video_rs.reports import read_log
from video_rs.runs import checkpoints, recorder, validation
from video_rs.runs.run_folder import RunFolder
from video_rs.runs.train import run_training
from video_rs.video.encoding import write_video

# One after the other: a job of several processes takes the cores of the machine as if it were alone.
pytestmark = pytest.mark.xdist_group("processes")

TRAIN_NET = str(ROOT / "tools" / "train_net.py")


def weights(folder, name="last"):
    return load_checkpoint(folder / "checkpoints" / f"{name}.pth")


def assert_same_weights(a, b):
    for part in ("model", "ema"):
        assert a[part].keys() == b[part].keys()
        for key, value in a[part].items():
            assert torch.equal(value, b[part][key]), (part, key)


def test_a_run_leaves_everything_that_the_readme_lists(trained, videos, config_file):
    expected = load_config(config_file, tiny_run(videos, trained))
    assert load_config(trained / "config.yaml").flat() == expected.flat()
    log = read_log(trained / "log.jsonl")
    assert [r["step"] for r in log if r["kind"] == "train"] == [1, 2, 3, 4]
    assert [r["epoch"] for r in log if r["kind"] == "validation"] == [1.0, 2.0]
    assert list((trained / "tensorboard").glob("events*"))
    assert "Confusion matrix" in (trained / "report.html").read_text()
    last, best = weights(trained), weights(trained, "best")
    assert last["step"] == 4
    assert best["step"] in (2, 4)
    assert last["label_names"] == ["dark", "light"]


def test_metrics_agree_with_the_saved_predictions(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    rows = [json.loads(line) for line in (trained / "predictions.jsonl").read_text().splitlines()]
    right = sum(row["top"][0]["label"] == row["label"] for row in rows)
    assert metrics == {
        "top1": right / 4,
        "topk": 1.0,
        "k": 2,
        "videos": 4,
        "failed": 0,
        "top1_all": right / 4,
        "clips": 1,
        "crops": 1,
        "checkpoint": str(trained / "checkpoints" / "last.pth"),
    }
    assert all(sum(row["probabilities"]) == pytest.approx(1, abs=1e-5) for row in rows)


def test_it_learns_two_classes_of_brightness(tool, videos, config_file, tmp_path):
    arguments = tiny_run(videos, tmp_path / "run", SOLVER__MAX_EPOCH=30, TRAIN__EVAL_PERIOD=30, SOLVER__EMA_DECAY=0.9)
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["top1"] == 1.0
    losses = [r["loss"] for r in read_log(tmp_path / "run" / "log.jsonl") if r["kind"] == "train"]
    assert sum(losses[-4:]) < sum(losses[:4])


def test_the_same_seed_gives_the_same_weights_and_another_does_not(trained, videos, config_file, tmp_path):
    run_training(load_config(config_file, tiny_run(videos, tmp_path / "same", DATA__NUM_WORKERS=2)))
    run_training(load_config(config_file, tiny_run(videos, tmp_path / "other", RNG_SEED=1)))
    assert_same_weights(weights(trained), weights(tmp_path / "same"))
    with pytest.raises(AssertionError):
        assert_same_weights(weights(trained), weights(tmp_path / "other"))


def test_sigterm_saves_and_exits_143_and_resume_ends_with_the_same_weights(
    tool, videos, config_file, tmp_path, monkeypatch
):
    varied = {
        "AUG__RAND_AUGMENT_LAYERS": 2,
        "MODEL__STOCHASTIC_DEPTH": 0.2,
        "MODEL__DROPOUT": 0.3,
        "SOLVER__MAX_EPOCH": 3,
    }
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, whole, **varied)).code == 0

    log = recorder.Recorder.log

    def log_then_terminate(run, step, scalars):
        log(run, step, scalars)
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(recorder.Recorder, "log", log_then_terminate)
    stopped = tool("train_net", "--cfg", config_file, *tiny_run(videos, parted, **varied))
    assert stopped.code == 143
    assert stopped.err.strip().endswith("stopped after step 3; continue with --resume")
    assert weights(parted)["step"] == 3
    monkeypatch.setattr(recorder.Recorder, "log", log)
    resumed = tool("train_net", "--cfg", config_file, "--resume", *tiny_run(videos, parted, **varied))
    assert resumed.code == 0, resumed.err
    assert f"resuming {parted} at step 3 of 6" in resumed.out
    assert_same_weights(weights(whole), weights(parted))
    steps = [r["step"] for r in read_log(parted / "log.jsonl") if r["kind"] == "train"]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_resumes_to_nothing(tool, trained, videos, config_file):
    before = (trained / "checkpoints" / "last.pth").read_bytes()
    result = tool("train_net", "--cfg", config_file, "--resume", *tiny_run(videos, trained))
    assert result.code == 0
    assert "is finished: 4 steps; nothing to do" in result.out
    assert (trained / "checkpoints" / "last.pth").read_bytes() == before


def test_resume_without_a_checkpoint_starts(tool, videos, config_file, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.jsonl").write_text('{"kind": "event", "time": 0, "step": 0}\n')
    result = tool("train_net", "--cfg", config_file, "--resume", *tiny_run(videos, tmp_path / "run"))
    assert result.code == 0, result.err
    assert weights(tmp_path / "run")["step"] == 4


def test_a_second_run_in_a_folder_is_refused_and_overwrite_replaces_it(tool, videos, config_file, tmp_path):
    run = tmp_path / "run"
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, run, SOLVER__MAX_STEPS=1)).code == 0
    (run / "notes.txt").write_text("mine")
    before = (run / "log.jsonl").read_text()
    refused = tool("train_net", "--cfg", config_file, *tiny_run(videos, run))
    assert refused.code == 2
    assert refused.err.strip() == (
        f"error: {run} already holds a run; add --resume to continue it, --overwrite to replace it, "
        "or set another OUTPUT_DIR"
    )
    assert (run / "log.jsonl").read_text() == before
    # A refused command replaces nothing, even with --overwrite.
    bad = tool("train_net", "--cfg", config_file, "--overwrite", *tiny_run(tmp_path / "none.csv", run))
    assert bad.code == 2
    assert (run / "log.jsonl").read_text() == before
    assert tool("train_net", "--cfg", config_file, "--overwrite", *tiny_run(videos, run)).code == 0
    assert weights(run)["step"] == 4
    assert (run / "notes.txt").read_text() == "mine"


def test_overwrite_removes_only_what_a_run_wrote(tool, videos, config_file, tmp_path):
    """A folder of videos may have a ``test`` folder, and a run folder somebody's own checkpoints."""
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "mine.mp4").write_bytes(b"precious")
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path, SOLVER__MAX_STEPS=1)).code == 0
    (tmp_path / "checkpoints" / "paper.pth").write_bytes(b"precious")
    again = tiny_run(videos, tmp_path, SOLVER__MAX_STEPS=2)
    assert tool("train_net", "--cfg", config_file, "--overwrite", *again).code == 0
    assert weights(tmp_path)["step"] == 2
    assert (tmp_path / "test" / "mine.mp4").read_bytes() == b"precious"
    assert (tmp_path / "checkpoints" / "paper.pth").read_bytes() == b"precious"
    (tmp_path / "checkpoints" / "last.pth").unlink()
    lost = tool("train_net", "--cfg", config_file, "--resume", *again)
    assert lost.code == 2
    assert "last.pth is missing, but" in lost.err
    assert (tmp_path / "checkpoints" / "best.pth").exists()


def test_an_output_folder_that_cannot_be_made_is_refused(tool, videos, config_file, tmp_path):
    (tmp_path / "file").write_text("")
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "file" / "run"))
    assert result.code == 2
    assert (
        f"error: cannot write to OUTPUT_DIR {tmp_path}/file/run: Not a directory; set another OUTPUT_DIR" in result.err
    )


def test_a_scheduler_that_signals_the_whole_group_finds_the_state_saved(videos, config_file, tmp_path):
    arguments = tiny_run(videos, tmp_path / "run", SOLVER__MAX_STEPS=100000, SOLVER__MAX_EPOCH=1, DATA__NUM_WORKERS=1)
    command = [sys.executable, str(ROOT / "tools/train_net.py"), "--cfg", str(config_file), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for line in process.stdout:
        if line.startswith("step 3/"):
            os.killpg(process.pid, signal.SIGTERM)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert weights(tmp_path / "run")["step"] >= 3
    assert err.splitlines()[0] == "stopping after this step and saving"


AGAIN = "stopping after this step and saving; press Ctrl-C again to stop at once without saving"
# Instead of a step, or of the report, something endless; it is announced.
ENDLESS_STEP = """
import hashlib
from video_rs.engine.step import Step
whole = Step.__call__
def endless(self, micro_batches, rate=None):
    if self.number == 3:
        print("here", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
    return whole(self, micro_batches, rate)
Step.__call__ = endless
"""
ENDLESS_REPORT = """
import time
from video_rs.runs import recorder
def endless(*_, **__):
    print("here", flush=True)
    time.sleep(600)
recorder.write_evaluation_report = endless
"""


def endless_run(videos, config_file, output, changed="", until="step 3/"):
    """A run with a reading process, when it has printed ``until``."""
    keys = {"SOLVER__MAX_STEPS": 100000, "SOLVER__MAX_EPOCH": 1, "DATA__NUM_WORKERS": 1, "TRAIN__EVAL_PERIOD": 1000000}
    arguments = ["train_net.py", "--cfg", str(config_file), *tiny_run(videos, output, **keys)]
    script = f"import runpy, sys\nsys.argv = {arguments}\n{changed}\nrunpy.run_path({TRAIN_NET!r}, run_name='__main__')"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(process, until)
    return process


def wait_for(process, start):
    assert any(line.startswith(start) for line in process.stdout), process.stderr.read()


def assert_nothing_is_left(process):
    """Its reading processes are in its group."""
    stop = time.monotonic() + 5
    while time.monotonic() < stop:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("its reading processes outlive it")


def test_ctrl_c_says_what_it_does_and_saves(videos, config_file, tmp_path):
    process = endless_run(videos, config_file, tmp_path / "run")
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    step = weights(tmp_path / "run")["step"]
    assert step >= 3
    said = [AGAIN, f"stopped after step {step}; continue with --resume"]
    assert (process.returncode, err.splitlines()) == (143, said)
    assert (tmp_path / "run" / "report.html").is_file()
    assert_nothing_is_left(process)


def test_a_second_ctrl_c_ends_it_at_once_without_saving(videos, config_file, tmp_path):
    process = endless_run(videos, config_file, tmp_path / "run", ENDLESS_STEP, "here")
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr.readline() == f"{AGAIN}\n"
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert time.monotonic() - began < 2
    assert process.stderr.read() == "interrupted\n"
    assert not (tmp_path / "run" / "report.html").exists()
    assert not (tmp_path / "run" / "checkpoints" / "last.pth.partial").exists()
    assert_nothing_is_left(process)


def test_ctrl_c_while_the_report_is_drawn_ends_it(videos, config_file, tmp_path):
    process = endless_run(videos, config_file, tmp_path / "run", ENDLESS_REPORT)
    os.killpg(process.pid, signal.SIGINT)
    wait_for(process, "here")
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert time.monotonic() - began < 2
    assert process.stderr.read() == f"{AGAIN}\ninterrupted\n"
    assert weights(tmp_path / "run")["step"] >= 3
    assert_nothing_is_left(process)


def test_classes_without_names_are_pointed_out(tool, videos, config_file, tmp_path):
    keys = {"SOLVER__MAX_STEPS": 1, "TRAIN__EVAL_PERIOD": 9}
    arguments = tiny_run(videos, tmp_path / "run", MODEL__NUM_CLASSES=7, **keys)
    result = tool("train_net", "--cfg", config_file, *arguments)
    note = "note: MODEL.NUM_CLASSES is 7, but only 2 classes have names; the numbers 2 to 6 stand in for the others'"
    assert result.out.splitlines().count(note) == 1
    two = tool(
        "train_net", "--cfg", config_file, "--overwrite", *tiny_run(videos, tmp_path / "run", MODEL__NUM_CLASSES=2)
    )
    assert "note:" not in two.out


def test_a_list_whose_files_are_elsewhere_is_refused_at_once(tool, config_file, tmp_path):
    (tmp_path / "list.csv").write_text("path,label,split\na.mp4,x,train\nb.mp4,y,train\nc.mp4,x,val\n")
    result = tool("train_net", "--cfg", config_file, *tiny_run(tmp_path / "list.csv", tmp_path / "run"))
    assert (result.code, result.err) == (
        2,
        f"error: {tmp_path}/list.csv: none of 2 files looked at is there, such as {tmp_path}/a.mp4; give the folder "
        "that relative paths start from as DATA.ROOT, or correct the list\n",
    )
    assert not (tmp_path / "run").exists()


def test_what_makes_the_numbers_of_a_run_worth_little_is_pointed_out(tool, videos, config_file, tmp_path):
    rows = [f"{videos.parent}/train/{name}/{i}.mp4,turning left" for name in ("dark", "light") for i in range(2)]
    (tmp_path / "all.csv").write_text("\n".join(["path,label", *rows, ""]))
    keys = {"SOLVER__MAX_STEPS": 1, "TRAIN__EVAL_PERIOD": 9, "MODEL__NUM_CLASSES": 0, "DATA__RANDOM_FLIP": True}
    arguments = tiny_run(tmp_path / "all.csv", tmp_path / "run", **keys)
    lines = tool("train_net", "--cfg", config_file, *arguments).out.splitlines()
    assert [line for line in lines if line.startswith("note:")] == [
        "note: 4 of 4 validation videos are training videos too, so the accuracy says little about new ones; give each "
        "list rows of its own, or a column split",
        "note: there is a single class, so every answer is right; train with two or more",
        "note: clips are mirrored, which makes the class 'turning left' another; set DATA.RANDOM_FLIP false if that is "
        "a matter of direction",
    ]


def test_ids_that_start_at_1_and_columns_are_pointed_out_once(tool, videos, config_file, tmp_path):
    rows = [
        f"{videos.parent}/{split}/{name}/{i}.mp4,{label}.0,{split},0,0.9"
        for label, name in ((1, "dark"), (2, "light"))
        for split in ("train", "val")
        for i in range(2)
    ]
    source = tmp_path / "all.csv"
    source.write_text("\n".join(["video_name,tag,subset,time_start,time_end", *rows, ""]))
    arguments = tiny_run(source, tmp_path / "run", SOLVER__MAX_STEPS=1, TRAIN__EVAL_PERIOD=9)
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert (result.code, result.err) == (0, "")
    assert [line for line in result.out.splitlines() if line.startswith("note:")] == [
        f"note: {source}: columns taken: video_name as path, tag as label, subset as split, time_start as start, "
        "time_end as end",
        "note: class 0 has no training videos; do your labels start at 1? Then number them from 0 without gaps, or "
        "give a label map (DATA.LABEL_MAP) with the lines 1, 2",
    ]
    assert weights(tmp_path / "run")["label_names"] == ["0", "1", "2"]

    (tmp_path / "names.txt").write_text("1\n2\n")
    named = tool("train_net", "--cfg", config_file, "--overwrite", *arguments, "DATA.LABEL_MAP", tmp_path / "names.txt")
    assert named.out.count("note:") == 1
    assert weights(tmp_path / "run")["label_names"] == ["1", "2"]


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


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(tool, videos, config_file, tmp_path):
    run = tmp_path / "run"
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


def test_other_class_names_are_another_data_set(tool, trained, videos, config_file, tmp_path):
    (tmp_path / "labels.txt").write_text("light\ndark\n")
    swapped = tiny_run(videos, trained, DATA__LABEL_MAP=tmp_path / "labels.txt")
    result = tool("train_net", "--cfg", config_file, "--resume", *swapped)
    assert result.code == 2
    assert "the class names or their order" in result.err


def test_allow_changes_goes_with_resume(tool, config_file):
    result = tool("train_net", "--cfg", config_file, "--allow-changes")
    assert result.code == 2
    assert "--allow-changes goes with --resume" in result.err


def test_a_device_that_is_not_there_is_refused(tool, videos, config_file, tmp_path):
    kind = "mps" if sys.platform != "darwin" else "cuda"
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", DEVICE=kind))
    assert result.code == 2
    assert f"device '{kind}' is not there; this machine has cpu" in result.err


def test_resume_and_overwrite_exclude_each_other(tool, config_file):
    result = tool("train_net", "--cfg", config_file, "--resume", "--overwrite")
    assert result.code == 2
    assert "--resume continues a run and --overwrite replaces it; give one of them" in result.err


def test_resume_with_another_config_or_data_set_names_what_changed(tool, trained, videos, config_file, tmp_path):
    changed = tiny_run(videos, trained, SOLVER__BASE_LR=0.1, SOLVER__MAX_STEPS=5)
    refused = tool("train_net", "--cfg", config_file, "--resume", *changed)
    assert refused.code == 2
    assert "SOLVER.BASE_LR: 0.05 -> 0.1; SOLVER.MAX_STEPS: 0 -> 5" in refused.err
    assert "add --allow-changes to go on regardless" in refused.err
    shorter = tmp_path / "shorter.csv"
    shorter.write_text("\n".join(videos.read_text().splitlines()[:-1]) + "\n")
    other_list = tiny_run(videos, trained, DATA__VAL_LIST=shorter, DATA__ROOT=videos.parent)
    refused = tool("train_net", "--cfg", config_file, "--resume", *other_list)
    assert refused.code == 2
    assert "the val list" in refused.err


def test_allow_changes_goes_on(tool, videos, config_file, tmp_path):
    run = tmp_path / "run"
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, run, SOLVER__MAX_STEPS=2)).code == 0
    longer = tiny_run(videos, run, SOLVER__MAX_STEPS=3)
    assert tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *longer).code == 0
    assert weights(run)["step"] == 3
    wider = tiny_run(videos, run, SOLVER__MAX_STEPS=4, MODEL__WIDTH=0.25)
    refused = tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *wider)
    assert refused.code == 2
    assert "holds another model (width: 0.125 -> 0.25)" in refused.err
    regular = tiny_run(videos, run, SOLVER__MAX_STEPS=4, MODEL__DROPOUT=0.3)
    assert tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *regular).code == 0
    assert weights(run)["step"] == 4
    other = tiny_run(videos, run, SOLVER__OPTIMIZING_METHOD="adamw")
    refused = tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *other)
    assert refused.code == 2
    assert "holds the state of sgd, which adamw cannot take over" in refused.err


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"MODEL__FROZEN_STAGES": 4}, "0.13 M parameters (0.10 M of them trained), 2 classes"),
        (
            {"MODEL__FROZEN_STAGES": 4},
            "note: MODEL.FROZEN_STAGES 4 keeps random weights; start from trained ones with --finetune or "
            "MODEL.PRETRAINED\n",
        ),
        (
            {"SOLVER__LAYER_DECAY": 0.5},
            "rates over the learning rate: classifier 1, res5 0.5, res4 0.25, res3 0.12, res2 0.062, stem 0.031 "
            "(SOLVER.LAYER_DECAY)\n",
        ),
        (
            {"DATA__MULTI_LABEL": "true"},
            "note: DATA.MULTI_LABEL is true, but every training video has one label; without it, classes exclude each "
            "other\n",
        ),
        (
            {"BN__NUM_BATCHES_PRECISE": 2, "MODEL__FROZEN_STAGES": 5},
            "note: BN.NUM_BATCHES_PRECISE does nothing with MODEL.FROZEN_STAGES 5, which keeps all statistics\n",
        ),
        (
            {"BN__NUM_BATCHES_PRECISE": 2, "DATA__VAL_LIST": ""},
            "note: BN.NUM_BATCHES_PRECISE does nothing without a DATA.VAL_LIST: statistics are computed before a "
            "validation\n",
        ),
    ],
)
def test_a_run_says_what_its_keys_do(tool, videos, config_file, tmp_path, keys, said):
    plain = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "plain", SOLVER__MAX_STEPS=1))
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", SOLVER__MAX_STEPS=1, **keys))
    assert result.code == 0
    assert said in result.out
    assert said not in plain.out


def test_a_run_says_what_classes_weigh(tool, videos, config_file, tmp_path):
    rows = [row for row in videos.read_text().splitlines() if not row.startswith(("train/dark/2", "train/dark/3"))]
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    for split in ("train", "val"):
        (tmp_path / split).symlink_to(videos.parent / split)
    keys = tiny_run(
        tmp_path / "list.csv", tmp_path / "run", SOLVER__MAX_STEPS=1, SOLVER__CLASS_WEIGHTS=1, MODEL__NUM_CLASSES=4
    )
    result = tool("train_net", "--cfg", config_file, *keys)
    assert "weights in the loss: 0.75 (light) to 1.5 (dark) (SOLVER.CLASS_WEIGHTS)\n" in result.out


def test_a_run_that_goes_on_with_other_settings_records_them(tool, videos, config_file, tmp_path):
    run = tmp_path / "run"
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, run, SOLVER__MAX_STEPS=2)).code == 0
    resume = ("train_net", "--cfg", config_file, "--resume", "--allow-changes")
    result = tool(*resume, *tiny_run(videos, run, SOLVER__MAX_STEPS=3, SOLVER__BASE_LR=0.01))
    assert result.code == 0
    changes = ["SOLVER.BASE_LR: 0.05 -> 0.01", "SOLVER.MAX_STEPS: 2 -> 3"]
    assert f"note: this run goes on with other settings ({'; '.join(changes)})\n" in result.out
    events = [record for record in read_log(run / "log.jsonl") if record["kind"] == "event"]
    assert [event["changes"] for event in events] == [[], changes]

    fewer = tool(*resume, *tiny_run(videos, run, SOLVER__MAX_STEPS=1))
    assert (fewer.code, fewer.err) == (
        2,
        f"error: {run} has 3 steps already, more than the 1 asked for (SOLVER.MAX_STEPS, or SOLVER.MAX_EPOCH); ask for "
        "more, or start a new run\n",
    )


def test_a_warm_up_as_long_as_the_run_is_pointed_out(tool, videos, config_file, tmp_path):
    arguments = tiny_run(videos, tmp_path / "run", SOLVER__WARMUP_EPOCHS=9, SOLVER__MAX_STEPS=1)
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert result.code == 0
    assert "note: the warm-up (18 steps, SOLVER.WARMUP_EPOCHS) is not shorter than the run" in result.out


def test_a_scaled_learning_rate_is_said_and_used(tool, videos, config_file, tmp_path):
    arguments = tiny_run(
        videos, tmp_path / "run", SOLVER__MAX_STEPS=1, SOLVER__LR_FOR_BATCH_SIZE=16, DATA__TARGET_FPS=12.5
    )
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert "learning rate 0.05 x 4 / 16 clips = 0.0125 (SOLVER.LR_FOR_BATCH_SIZE)\n" in result.out
    span = "clips of 4 frames span 0.64 s of every video, whatever its rate (DATA.TARGET_FPS 12.5)\n"
    assert span in result.out
    assert next(r for r in read_log(tmp_path / "run" / "log.jsonl") if r["kind"] == "train")["lr"] == 0.0125


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
        "difference), or set TRAIN.ACTIVATION_CHECKPOINTING 5, or lower DATA.TRAIN_CROP_SIZE or DATA.NUM_FRAMES; go on "
        "with --resume --allow-changes"
    )
    assert weights(tmp_path / "run")["step"] == 1


def test_finetune_takes_the_weights_and_leaves_the_classifier_of_other_classes(
    tool, trained, videos, config_file, tmp_path
):
    frozen = {"SOLVER__BASE_LR": 0, "SOLVER__MAX_STEPS": 1, "SOLVER__EMA_DECAY": 0, "MODEL__NORM_MOMENTUM": 1e-9}
    source = trained / "checkpoints" / "last.pth"
    same = tool("train_net", "--cfg", config_file, "--finetune", source, *tiny_run(videos, tmp_path / "a", **frozen))
    assert same.code == 0, same.err
    ema = weights(trained)["ema"]
    assert all(torch.equal(v, weights(tmp_path / "a")["model"][k]) for k, v in ema.items() if k.endswith("weight"))

    other = tiny_run(videos, tmp_path / "b", MODEL__NUM_CLASSES=7, **frozen)
    result = tool("train_net", "--cfg", config_file, "--finetune", source, *other)
    assert (
        "; other classes: 2 of 7 classes are taken over by their names, and start afresh: '2', '3', '4', '5', '6'\n"
    ) in result.out
    assert weights(tmp_path / "b")["model"]["fc.weight"].shape[0] == 7
    assert weights(tmp_path / "b")["label_names"] == ["dark", "light", "2", "3", "4", "5", "6"]

    wider = tiny_run(videos, tmp_path / "c", MODEL__WIDTH=0.25)
    refused = tool("train_net", "--cfg", config_file, "--finetune", source, *wider)
    assert refused.code == 2
    assert "holds another model (width: 0.125 -> 0.25); set the same MODEL keys" in refused.err
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("option", ["--finetune", "MODEL.PRETRAINED"])
def test_a_video_or_a_text_is_no_checkpoint(tool, videos, config_file, tmp_path, option):
    for path in (videos.parent / "train" / "dark" / "0.mp4", videos):
        arguments = [option, path, *tiny_run(videos, tmp_path / "run")]
        result = tool("train_net", "--cfg", config_file, *arguments)
        expected = "is no checkpoint; give a file that training or torch.save wrote, e.g. RUN/checkpoints/last.pth"
        assert (result.code, result.err) == (2, f"error: {path} {expected}\n")


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
    doctor = f"python tools/check_dataset.py {videos} --out check"
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


def test_a_video_shorter_than_the_clip_is_read(tool, config_file, tmp_path):
    videos = make_videos(tmp_path, per_class=2)
    write_video(tmp_path / "train/dark/0.mp4", moving_square(0, frames=1), fps=10)
    for rule in ("wrap", "repeat"):
        arguments = tiny_run(videos, tmp_path / rule, DATA__SHORT_VIDEO=rule, DATA__MAX_FAILED_SHARE=0)
        assert tool("train_net", "--cfg", config_file, *arguments).code == 0


def test_without_a_validation_list_there_are_no_metrics_but_a_report(tool, videos, config_file, tmp_path):
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", DATA__VAL_LIST=""))
    assert result.code == 0, result.err
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DATA__TRAIN_LIST": ""}, "DATA.TRAIN_LIST is empty; give a CSV (path,label)"),
        (
            {"DATA__TRAIN_LIST": "data/kinetics400/train.csv"},
            "list data/kinetics400/train.csv does not exist; give a CSV",
        ),
        ({"MODEL__NUM_CLASSES": 1}, "2 class names for 1 class; give the number of classes as 2"),
        ({"MODEL__ARCH": "r3d_rs_51"}, "unknown model 'r3d_rs_51'; did you mean 'r3d_rs_50'?"),
        (
            {"SOLVER__EMA_DECAY": 0, "MODEL__NORM_MOMENTUM": 1.0},
            "set SOLVER.EMA_DECAY above 0, or MODEL.NORM_MOMENTUM below 1",
        ),
        (
            {"TRAIN__BATCH_SIZE": 3, "TRAIN__ACCUMULATION_STEPS": 2},
            "TRAIN.BATCH_SIZE 3 does not divide into 1 process x 2 accumulation steps",
        ),
        (
            {"DATA__TEST_SHORT_SIDE": 16},
            "DATA.TEST_SHORT_SIDE: got 16, allowed: an integer of at least DATA.TEST_CROP_SIZE, 32 (pixels)",
        ),
        ({"DATA__DECODER": "ffmpeg"}, "DATA.DECODER is 'ffmpeg'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(tool, videos, config_file, tmp_path, changes, message):
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", **changes))
    assert result.code == 2
    assert message in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_several_labels_of_one_video_are_refused(tool, videos, config_file, tmp_path):
    multi = tmp_path / "multi.csv"
    multi.write_text(videos.read_text().replace(",dark,train", ",dark;light,train", 1))
    result = tool("train_net", "--cfg", config_file, *tiny_run(multi, tmp_path / "run", DATA__ROOT=videos.parent))
    assert result.code == 2
    assert "has 2 labels; give it one, or train with DATA.MULTI_LABEL true" in result.err


def test_processes_of_one_run_make_its_folder_at_once(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(folder.make) for _ in range(2000)]:
            done.result()
    assert list(folder.path.iterdir()) == []


def test_two_processes_train_as_one(videos, tmp_path, config_file):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(ROOT / "tools/train_net.py"), "--cfg", str(config_file), *tiny_run(videos, tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[:6000]
    # One process that accumulates over two halves of each batch: batch norm sees the same clips together.
    halves = load_config(config_file, tiny_run(videos, tmp_path / "alone", TRAIN__ACCUMULATION_STEPS=2))
    run_training(halves)
    log, alone = (read_log(tmp_path / name / "log.jsonl") for name in ("run", "alone"))
    assert [(r["kind"], r["step"]) for r in log] == [(r["kind"], r["step"]) for r in alone]
    losses, losses_alone = ([r["loss"] for r in part if r["kind"] == "train"] for part in (log, alone))
    assert losses == pytest.approx(losses_alone, rel=1e-5)
    assert len((tmp_path / "run" / "predictions.jsonl").read_text().splitlines()) == 4


def test_two_processes_name_the_failed_videos_of_both(config_file, tmp_path):
    videos = make_videos(tmp_path, per_class=2)
    for name in ("dark", "light"):
        (tmp_path / f"train/{name}/0.mp4").write_bytes(b"not a video")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    changes = {"DATA__MAX_FAILED_SHARE": 1, "SOLVER__MAX_EPOCH": 1}
    command += [
        str(ROOT / "tools/train_net.py"),
        "--cfg",
        str(config_file),
        *tiny_run(videos, tmp_path / "run", **changes),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[:6000]
    log = read_log(tmp_path / "run" / "log.jsonl")
    failed = {r["video"] for r in log if r.get("event") == "failed_video"}
    assert failed == {f"{tmp_path}/train/{name}/0.mp4" for name in ("dark", "light")}


def test_two_processes_refuse_bad_input_with_one_line_from_rank_0(tmp_path, config_file):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [
        str(ROOT / "tools/train_net.py"),
        "--cfg",
        str(config_file),
        *tiny_run(tmp_path / "no.csv", tmp_path / "run"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode != 0
    assert done.stderr.count("error: list ") == 1
    assert "exitcode  : 2" in done.stderr
