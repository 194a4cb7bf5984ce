"""What a run refuses, and what goes on regardless."""

import errno
import os
import shutil
import sys

import pytest
import torch

from helpers.runs import tiny_run, weights
from video_rs.reports import read_log

pytestmark = pytest.mark.usefixtures("blank_charts")


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


def test_a_list_whose_files_are_elsewhere_is_refused_at_once(tool, config_file, tmp_path):
    (tmp_path / "list.csv").write_text("path,label,split\na.mp4,x,train\nb.mp4,y,train\nc.mp4,x,val\n")
    result = tool("train_net", "--cfg", config_file, *tiny_run(tmp_path / "list.csv", tmp_path / "run"))
    assert (result.code, result.err) == (
        2,
        f"error: {tmp_path}/list.csv: none of 2 files looked at is there, such as {tmp_path}/a.mp4; give the folder "
        "that relative paths start from as DATA.ROOT, or correct the list\n",
    )
    assert not (tmp_path / "run").exists()


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


def test_the_order_of_the_optimizers_weights_may_not_change(tool, trained, videos, config_file, tmp_path):
    """Whatever is allowed: MODEL.INITIALIZATION says which weights are decayed, and so where their momentum is."""
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    before = (run / "config.yaml").read_bytes()
    changed = tiny_run(videos, run, MODEL__INITIALIZATION="tpu", SOLVER__MAX_EPOCH=3)
    refused = tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *changed)
    assert (refused.code, refused.err.splitlines()[-1]) == (
        2,
        f"error: {run}/checkpoints/last.pth holds the optimizer's state for MODEL.INITIALIZATION model_garden, which "
        "decays other weights than tpu; keep that, or start a new run with --finetune",
    )
    assert (run / "config.yaml").read_bytes() == before


@pytest.mark.parametrize("start", ["--resume", "--finetune"])
def test_a_run_of_a_later_version_is_refused(tool, trained, videos, config_file, tmp_path, start):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    last = run / "checkpoints" / "last.pth"
    state = weights(run)
    state["architecture"]["later"] = 1
    torch.save(state, last)

    how = ("--resume", *tiny_run(videos, run))
    if start == "--finetune":
        how = ("--finetune", last, *tiny_run(videos, tmp_path / "new"))
    refused = tool("train_net", "--cfg", config_file, *how)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert f"error: {last} describes a network that this version does not know (" in refused.err
    assert "'later'); take the version of video_rs that wrote it" in refused.err


def test_the_config_of_a_run_is_whole_whatever_the_disk_does(tool, trained, videos, config_file, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    before = (run / "config.yaml").read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    result = tool("train_net", "--cfg", config_file, "--resume", *tiny_run(videos, run, SOLVER__MAX_EPOCH=3))
    assert result.code != 0
    assert (run / "config.yaml").read_bytes() == before


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


@pytest.mark.parametrize("option", ["--finetune", "MODEL.PRETRAINED"])
def test_a_video_or_a_text_is_no_checkpoint(tool, videos, config_file, tmp_path, option):
    for path in (videos.parent / "train" / "dark" / "0.mp4", videos):
        arguments = [option, path, *tiny_run(videos, tmp_path / "run")]
        result = tool("train_net", "--cfg", config_file, *arguments)
        expected = "is no checkpoint; give a file that training or torch.save wrote, e.g. RUN/checkpoints/last.pth"
        assert (result.code, result.err) == (2, f"error: {path} {expected}\n")


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
