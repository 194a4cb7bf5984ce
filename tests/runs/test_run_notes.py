"""What a run points out before it trains."""

import contextlib
import io

import pytest

from helpers.charts import blank_charts
from helpers.runs import tiny_run, weights
from video_rs.config import load_config
from video_rs.reports import read_log
from video_rs.runs.train import run_training

pytestmark = pytest.mark.usefixtures("blank_charts")


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


@pytest.fixture(scope="module")
def plain(videos, config_file, tmp_path_factory):
    """What a run prints whose keys say nothing of interest."""
    arguments = tiny_run(videos, tmp_path_factory.mktemp("plain") / "run", SOLVER__MAX_STEPS=1)
    with contextlib.redirect_stdout(io.StringIO()) as out, blank_charts():
        run_training(load_config(config_file, arguments))
    return out.getvalue()


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"MODEL__FROZEN_STAGES": 4}, "0.13 M parameters (0.10 M of them trained), 2 classes"),
        ({"MODEL__FROZEN_STAGES": 5}, "0.13 M parameters (130 of them trained), 2 classes"),
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
def test_a_run_says_what_its_keys_do(tool, plain, videos, config_file, tmp_path, keys, said):
    result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", SOLVER__MAX_STEPS=1, **keys))
    assert result.code == 0
    assert said in result.out
    assert said not in plain


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


def test_a_warm_up_as_long_as_the_run_is_pointed_out(tool, videos, config_file, tmp_path):
    arguments = tiny_run(videos, tmp_path / "run", SOLVER__WARMUP_EPOCHS=9, SOLVER__MAX_STEPS=1)
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert result.code == 0
    assert (
        "note: the warm-up (18 steps, SOLVER.WARMUP_EPOCHS) is not shorter than the run, so the learning rate stays at "
        "0 and nothing is learned; for more than a smoke test set SOLVER.WARMUP_EPOCHS 0\n"
    ) in result.out


def test_a_scaled_learning_rate_is_said_and_used(tool, videos, config_file, tmp_path):
    arguments = tiny_run(
        videos, tmp_path / "run", SOLVER__MAX_STEPS=1, SOLVER__LR_FOR_BATCH_SIZE=16, DATA__TARGET_FPS=12.5
    )
    result = tool("train_net", "--cfg", config_file, *arguments)
    assert "learning rate 0.05 x 4 / 16 clips = 0.0125 (SOLVER.LR_FOR_BATCH_SIZE)\n" in result.out
    span = "clips of 4 frames span 0.64 s of every video, whatever its rate (DATA.TARGET_FPS 12.5)\n"
    assert span in result.out
    assert next(r for r in read_log(tmp_path / "run" / "log.jsonl") if r["kind"] == "train")["lr"] == 0.0125


def test_fewer_videos_than_a_step_of_pretraining_compares(tool, videos, config_file, tmp_path):
    few = tmp_path / "few.csv"
    paths = [f"{videos.parent}/train/dark/{number}.mp4" for number in range(3)]
    keys = {"DATA__VAL_LIST": "", "SOLVER__MAX_STEPS": 1, "TRAIN__BATCH_SIZE": 8, "CONTRAST__HIDDEN_LAYERS": 0}

    few.write_text("\n".join(["path", *paths, ""]))
    result = tool("pretrain", "--cfg", config_file, *tiny_run(few, tmp_path / "run", **keys))
    assert (
        "note: each batch has 4 pairs of clips of 3 videos: clips of one video are told apart as if they were of two; "
        "lower TRAIN.BATCH_SIZE to 6\n"
    ) in result.out

    few.write_text(f"path\n{paths[0]}\n")
    result = tool("pretrain", "--cfg", config_file, *tiny_run(few, tmp_path / "one", **keys))
    assert (result.code, result.err) == (
        2,
        f"error: {few} has 1 video to train on, and pre-training tells the clips of several videos apart; give a "
        "longer list\n",
    )
