"""A run of training on real files: what it leaves, and that it is the same again."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from helpers import predictions
from helpers.jobs import run_job
from helpers.runs import assert_same_weights, tiny_run, weights
from helpers.videos import make_videos, moving_square
from video_rs.config import load_config
from video_rs.reports import read_log
from video_rs.runs.run_folder import RunFolder
from video_rs.runs.train import run_training
from video_rs.video.encoding import write_video

# One after the other: a job of several processes takes the cores of the machine as if it were alone.
pytestmark = pytest.mark.xdist_group("processes")


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
    rows = predictions.rows(trained)
    right = sum(row["top"][0]["label"] == row["label"] for row in rows)
    assert metrics == {
        "views": "published",
        "views_per_video": 1.0,
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


def test_processes_of_one_run_make_its_folder_at_once(tmp_path):
    folder = RunFolder(tmp_path / "run")
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(folder.make) for _ in range(2000)]:
            done.result()
    assert list(folder.path.iterdir()) == []


def test_two_processes_train_as_one(videos, tmp_path, config_file):
    # Small steps: large ones make more of float32 rounding, which differs from processor to processor.
    small = {"SOLVER__BASE_LR": 0.001}
    done = run_job(tmp_path, 2, "train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", **small))
    assert done.codes == [0, 0], done.err
    # One process that accumulates over two halves of each batch: batch norm sees the same clips together.
    halves = tiny_run(videos, tmp_path / "alone", TRAIN__ACCUMULATION_STEPS=2, **small)
    run_training(load_config(config_file, halves))
    log, alone = (read_log(tmp_path / name / "log.jsonl") for name in ("run", "alone"))
    assert [(r["kind"], r["step"]) for r in log] == [(r["kind"], r["step"]) for r in alone]
    losses, losses_alone = ([r["loss"] for r in part if r["kind"] == "train"] for part in (log, alone))
    assert losses == pytest.approx(losses_alone, rel=1e-5)
    assert len(predictions.rows(tmp_path / "run")) == 4


def test_two_processes_name_the_failed_videos_of_both(config_file, tmp_path):
    videos = make_videos(tmp_path, per_class=2)
    for name in ("dark", "light"):
        (tmp_path / f"train/{name}/0.mp4").write_bytes(b"not a video")
    arguments = tiny_run(videos, tmp_path / "run", DATA__MAX_FAILED_SHARE=1, SOLVER__MAX_EPOCH=1)
    done = run_job(tmp_path, 2, "train_net", "--cfg", config_file, *arguments)
    assert done.codes == [0, 0], done.err
    log = read_log(tmp_path / "run" / "log.jsonl")
    failed = {r["video"] for r in log if r.get("event") == "failed_video"}
    assert failed == {f"{tmp_path}/train/{name}/0.mp4" for name in ("dark", "light")}


def test_two_processes_refuse_bad_input_with_one_line_from_rank_0(tmp_path, config_file):
    arguments = tiny_run(tmp_path / "no.csv", tmp_path / "run")
    done = run_job(tmp_path, 2, "train_net", "--cfg", config_file, *arguments)
    assert done.codes == [2, 2]
    assert done.err.count("error: list ") == 1
