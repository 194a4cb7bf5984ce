"""Videos of several labels, from the list to the report; and classes that weigh differently in the loss."""

import json
import re
from dataclasses import replace

import pytest
import torch

from helpers import predictions
from helpers.runs import TINY, tiny_run
from helpers.videos import make_videos
from video_rs.builders import build_lists, build_loss, build_training
from video_rs.config import load_config
from video_rs.data.loader import Workers
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference import Predictor
from video_rs.inference.teachers import load_teacher

pytestmark = pytest.mark.usefixtures("blank_charts")

NAMES = ["dark", "light", "moving"]


def with_several(folder, broken=False):
    """The clips of ``make_videos``; every other one is also labelled ``moving``."""
    path = make_videos(folder)
    head, *rows = path.read_text().splitlines()
    labelled = [row.replace("dark", "dark;moving").replace("light", "light;moving") for row in rows[::2]]
    labelled = [re.sub(r"^(\w+)/(\w+);moving/", r"\1/\2/", row) for row in labelled]  # the path stays
    rows[::2] = labelled
    if broken:
        (folder / "val/dark/0.mp4").write_bytes(b"no video")
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    return with_several(tmp_path_factory.mktemp("several"))


@pytest.fixture(scope="module")
def run(several, config_file, tmp_path_factory):
    """A finished run, with mixing."""
    from video_rs.runs.train import run_training

    output = tmp_path_factory.mktemp("run") / "run"
    keys = {"DATA__MULTI_LABEL": "true", "AUG__MIXUP_ALPHA": "0.4", "SOLVER__CLASS_WEIGHTS": "1"}
    run_training(load_config(config_file, tiny_run(several, output, **keys)))
    return output


def build(several, **changes):
    keys = {**TINY, "DATA.TRAIN_LIST": str(several), "DATA.MULTI_LABEL": "true"}
    config = load_config("", {**keys, **{k.replace("__", "."): v for k, v in changes.items()}})
    return build_training(config, torch.device("cpu"), load_teacher)


def test_batches_have_a_column_for_each_class(several):
    training = build(several)
    assert list(training.lists.label_names) == NAMES
    loader = training.loader(0)
    assert loader.workers == Workers(0)
    truth = {r.path: [int(i in r.labels) for i in range(3)] for r in training.lists.train.records}
    assert sorted(map(sum, truth.values())) == [1] * 4 + [2] * 4
    batches = list(loader)
    assert len(batches) == 4
    for batch in batches:
        assert batch.labels.dtype == torch.uint8
        assert batch.labels.tolist() == [truth[video] for video in batch.videos]


def test_class_weights_count_the_training_list(several, videos):
    """Of 8 videos, 4 are dark, 4 light, 4 moving: the odds are even. Three of four dark ones gone: 1 dark, 4 light."""
    training = build(several, SOLVER__CLASS_WEIGHTS="1")
    assert training.step.objective.loss.weights.tolist() == [1, 1, 1]
    config = load_config("", {"DATA.TRAIN_LIST": str(videos), "SOLVER.CLASS_WEIGHTS": "1"})
    lists = build_lists(config)
    fewer = replace(lists, train=replace(lists.train, records=lists.train.records[3:]))
    assert build_loss(config, fewer).weights.tolist() == pytest.approx([5 / 2, 5 / 8])
    plain = load_config("", {"DATA.TRAIN_LIST": str(videos)})
    assert build_loss(plain, fewer).weights is None


def test_training_validates_by_mean_average_precision(run):
    metrics = json.loads((run / "metrics.json").read_text())
    rows = predictions.rows(run)
    assert [row["label"] for row in rows] == ["dark;moving", "dark", "light;moving", "light"]
    scores = torch.tensor([row["probabilities"] for row in rows])
    assert not torch.allclose(scores.sum(1), torch.ones(4))  # each class has a probability of its own
    precisions = []
    for i, name in enumerate(NAMES):
        order = scores[:, i].argsort(descending=True).tolist()
        hits = [name in rows[at]["label"].split(";") for at in order]
        precisions.append(sum(sum(hits[: j + 1]) / (j + 1) for j in range(4) if hits[j]) / sum(hits))
    assert metrics["map"] == pytest.approx(sum(precisions) / 3)
    assert metrics["map_all"] == metrics["map"]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    validations = [line["map"] for line in log if line["kind"] == "validation"]
    assert len(validations) == 2
    assert validations[-1] == metrics["map"]
    state = load_checkpoint(run / "checkpoints/last.pth")
    assert state["multi_label"] is True
    assert state["best"] == max(validations)


def test_testing_and_prediction_give_the_same_sigmoids(run, several, tool, tmp_path):
    result = tool("test_net", "--checkpoint", run / "checkpoints/last.pth", "OUTPUT_DIR", tmp_path / "test")
    assert result.code == 0
    metrics = json.loads((tmp_path / "test/metrics.json").read_text())
    assert result.out.startswith(f"mAP {metrics['map']:.4f} over 3 classes  top1 {metrics['top1']:.4f}")
    rows = predictions.rows(tmp_path / "test")
    predictor = Predictor.from_checkpoint(str(run / "checkpoints/last.pth"), "cpu")
    for row in rows:
        answer = predictor.predict(row["video"])
        assert [{"label": label, "score": score} for label, score in answer.top] == row["top"]
    page = (tmp_path / "test/report.html").read_text()
    assert f"<dt>Mean average precision</dt><dd>{100 * metrics['map']:.1f} %" in page
    assert "Confusion matrix" not in page
    assert "a video counts for top-1 where the class of the highest score is one of its own" in page


def test_predict_says_how_to_read_several_labels(run, trained, videos, tool):
    video = videos.parent / "val/dark/0.mp4"
    said = "each label is judged by itself: the scores of a video need not sum to 100 %\n"
    for folder, expected in ((run, True), (trained, False)):
        result = tool("predict", "--checkpoint", folder / "checkpoints/last.pth", video)
        assert result.out.startswith(said) == expected
        assert str(video) in result.out


def test_failed_videos_of_several_labels_are_never_found(run, tool, tmp_path):
    broken = with_several(tmp_path / "broken", broken=True)
    result = tool(
        "test_net", "--checkpoint", run / "checkpoints/last.pth", "--list", broken, "OUTPUT_DIR", tmp_path / "t"
    )
    assert result.code == 0
    metrics = json.loads((tmp_path / "t/metrics.json").read_text())
    assert (metrics["videos"], metrics["failed"]) == (4, 1)
    assert metrics["map_all"] < metrics["map"]
    assert f"failed 1  top1 with failed videos counted as wrong {metrics['top1_all']:.4f}, mAP " in result.out
    page = (tmp_path / "t/report.html").read_text()
    assert "mAP, failed are not found" in page


def test_what_the_classes_are_is_fixed_by_the_checkpoint(run, tool):
    result = tool("test_net", "--checkpoint", run / "checkpoints/last.pth", "DATA.MULTI_LABEL", "false")
    assert result.code == 2
    assert "DATA.MULTI_LABEL is fixed by the checkpoint" in result.err


def test_pseudo_labels_are_of_one_class(run, several, tool, tmp_path):
    said = tool("pseudo_label", "--teacher", run, "--list", several, "--out", tmp_path / "answers", "--device", "cpu")
    assert said.code == 2
    assert said.err == (
        f"error: {run} judges each class by itself; pseudo-labels need a teacher of one class a video: train one "
        "without DATA.MULTI_LABEL, or learn from this one by DISTILL.TEACHER\n"
    )


def test_class_balance_is_for_one_label(several, config_file, tool, tmp_path):
    keys = tiny_run(several, tmp_path / "run", DATA__MULTI_LABEL="true", DATA__CLASS_BALANCE="1")
    result = tool("train_net", "--cfg", config_file, *keys)
    assert result.code == 2
    assert "DATA.CLASS_BALANCE 1 is for videos of one label; with DATA.MULTI_LABEL set it to 0" in result.err


def test_features_are_tested_for_one_class_each(run, videos, tool, tmp_path):
    """The classifier that was trained for several labels is left out; the list says what the classes are."""
    last = run / "checkpoints/last.pth"
    result = tool("knn", "--checkpoint", last, "--k", 3, "--list", videos, "OUTPUT_DIR", tmp_path / "knn")
    assert result.code == 0
    metrics = json.loads((tmp_path / "knn/metrics.json").read_text())
    assert "map" not in metrics
    rows = predictions.rows(tmp_path / "knn")
    assert {row["label"] for row in rows} == {"dark", "light"}
    assert all(sum(row["probabilities"]) == pytest.approx(1, abs=1e-6) for row in rows)


def test_the_meaning_of_the_outputs_does_not_change_within_a_run(run, several, config_file, tool):
    arguments = tiny_run(several, run, SOLVER__MAX_STEPS=9)
    result = tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *arguments)
    assert result.code == 2  # the list has videos of several labels, which comes first
    assert "give it one, or train with DATA.MULTI_LABEL true" in result.err


def test_one_label_a_video_does_not_become_several_within_a_run(trained, videos, config_file, tool):
    arguments = tiny_run(videos, trained, SOLVER__MAX_STEPS=9, DATA__MULTI_LABEL="true")
    result = tool("train_net", "--cfg", config_file, "--resume", "--allow-changes", *arguments)
    assert (result.code, result.err) == (
        2,
        f"error: {trained}/checkpoints/last.pth was trained with DATA.MULTI_LABEL false, so its outputs mean something "
        "else; keep that, or start a new run with --finetune\n",
    )


def test_videos_without_any_class(several, config_file, tool, tmp_path):
    """They are negatives of every class, and have no part in accuracies, which ask for a true one."""
    rows = several.read_text().splitlines()
    for path in ("train", "val"):
        (tmp_path / path).symlink_to(several.parent / path)
    blank = [re.sub(",.*,", ",,", row) if row.startswith(("train/dark/3", "val/light/1")) else row for row in rows]
    assert sum(",," in row for row in blank) == 2
    (tmp_path / "list.csv").write_text("\n".join(blank) + "\n")
    keys = {"DATA__MULTI_LABEL": "true", "SOLVER__MAX_STEPS": 2}
    result = tool("train_net", "--cfg", config_file, *tiny_run(tmp_path / "list.csv", tmp_path / "run", **keys))
    assert result.code == 0, result.err
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    rows = predictions.rows(tmp_path / "run")
    assert [row["label"] for row in rows] == ["dark;moving", "dark", "light;moving", None]
    right = [row["top"][0]["label"] in row["label"].split(";") for row in rows[:3]]
    assert metrics["top1"] == metrics["top1_all"] == pytest.approx(sum(right) / 3)
    assert metrics["videos"] == 4

    (tmp_path / "none.csv").write_text(
        "path,label,split\n" + "".join(f"{r},,{r.split('/')[0]}\n" for r in ["train/dark/0.mp4", "val/dark/0.mp4"])
    )
    keys = tiny_run(tmp_path / "none.csv", tmp_path / "none", DATA__MULTI_LABEL="true")
    result = tool("train_net", "--cfg", config_file, *keys, "MODEL.NUM_CLASSES", 3)
    assert result.code == 2
    assert "no video has a label; give some of them labels" in result.err
