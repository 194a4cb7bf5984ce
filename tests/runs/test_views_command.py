"""``TEST.VIEWS``, ``calibrate --adaptive`` and ``predict --views``: the same numbers whoever answers, and refusals."""

import json
import re
import shutil

import pytest
import torch

from helpers.networks import refusal
from helpers.predictions import rows
from video_rs import Predictor
from video_rs.engine.checkpoint import load_checkpoint, save_checkpoint
from video_rs.inference.features.network import features_of_video
from video_rs.runs.stopping import require_views_to_spare

pytestmark = pytest.mark.usefixtures("blank_charts")


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    """A copy of the tiny run, to be calibrated."""
    folder = tmp_path_factory.mktemp("views") / "run"
    (folder / "checkpoints").mkdir(parents=True)
    shutil.copy(trained / "checkpoints" / "last.pth", folder / "checkpoints" / "last.pth")
    return folder


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


def refused(tool, *arguments):
    done = tool(*arguments)
    assert done.code == 2
    (line,) = done.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("views", "count", "words"),
    [
        ("published", 2, "(2 clips x 3 crops)"),
        ("full", 2, "(2 clips of whole frames)"),
        ("dense", 2, "(one pass, 2.0 windows)"),
    ],
)
def test_testing_and_predicting_answer_alike(tool, trained, videos, tmp_path, views, count, words):
    """Videos of 12 frames: six in a stride of 2, of which four are a clip, and a cell of the last map."""
    done = tool("test_net", "--checkpoint", trained, "TEST.VIEWS", views, "OUTPUT_DIR", tmp_path)
    assert done.code == 0, done.err
    assert words in done.out
    metrics = metrics_of(tmp_path)
    assert metrics["views"] == views
    assert metrics["views_per_video"] == count * (3 if views == "published" else 1)

    val = videos.parent / "val"
    answers = tmp_path / "answers.json"
    done = tool("predict", "--checkpoint", trained, "--views", views, val, "--json", answers)
    assert done.code == 0, done.err
    said = {
        answer["video"]: {top["label"]: top["score"] for top in answer["top"]}
        for answer in json.loads(answers.read_text())
    }
    for row in rows(tmp_path):
        expected = dict(zip(("dark", "light"), row["probabilities"], strict=True))
        assert said[row["video"]] == pytest.approx(expected, abs=1e-6)


def test_a_rule_is_made_stored_and_used(tool, run, videos, tmp_path):
    done = tool("calibrate", "--checkpoint", run, "--adaptive", "0.6", "OUTPUT_DIR", tmp_path / "calibration")
    assert done.code == 0, done.err
    content = json.loads((tmp_path / "calibration" / "calibration.json").read_text())
    stored = load_checkpoint(run / "checkpoints" / "last.pth")["calibration"]
    assert stored["stopping"] == content["stopping"]
    assert (content["stopping"]["clips"], content["stopping"]["crops"]) == (2, 3)
    assert content["adaptive"]["all_views"] == 6
    assert content["adaptive"]["error"] == 0.6
    line = f"adaptive: {content['adaptive']['views']:.1f} of 6 views a video give the answer of all in "
    assert line in done.out
    assert "on groups that the rule was not set by: " in done.out

    done = tool("test_net", "--checkpoint", run, "TEST.VIEWS", "adaptive", "OUTPUT_DIR", tmp_path / "test")
    assert done.code == 0, done.err
    taken = metrics_of(tmp_path / "test")["views_per_video"]
    assert f"({taken:.1f} of 2 clips x 3 crops)" in done.out
    # What was said of the same videos.
    assert taken == pytest.approx(content["adaptive"]["views"])

    predictor = Predictor.from_checkpoint(run, views="adaptive")
    for row in rows(tmp_path / "test"):
        found = dict(predictor.predict(row["video"]).top)
        assert [found[name] for name in ("dark", "light")] == pytest.approx(row["probabilities"], abs=1e-6)


def test_prediction_takes_the_views_that_the_rule_was_made_with(tool, run, videos, tmp_path):
    """Of a run that is tested with others."""
    keys = ["TEST.NUM_ENSEMBLE_VIEWS", 3, "TEST.NUM_SPATIAL_CROPS", 1, "OUTPUT_DIR"]
    done = tool("calibrate", "--checkpoint", run, "--adaptive", "0.6", *keys, tmp_path / "calibration")
    assert done.code == 0, done.err
    done = tool("test_net", "--checkpoint", run, "TEST.VIEWS", "adaptive", *keys, tmp_path / "test")
    assert done.code == 0, done.err
    for row in rows(tmp_path / "test"):
        answer = tmp_path / "answer.json"
        done = tool("predict", "--checkpoint", run, "--views", "adaptive", row["video"], "--json", answer)
        assert done.code == 0, done.err
        found = {top["label"]: top["score"] for top in json.loads(answer.read_text())[0]["top"]}
        assert [found[name] for name in ("dark", "light")] == pytest.approx(row["probabilities"], abs=1e-6)


def test_adaptive_views_by_an_engine(tool, run, tmp_path):
    tool("calibrate", "--checkpoint", run, "--adaptive", "0.6", "OUTPUT_DIR", tmp_path / "calibration")
    options = ["TEST.VIEWS", "adaptive", "OUTPUT_DIR"]
    tool("test_net", "--checkpoint", run, *options, tmp_path / "plain")
    done = tool("test_net", "--checkpoint", run, "--engine", "openvino", *options, tmp_path / "fast")
    assert done.code == 0, done.err
    for mine, other in zip(rows(tmp_path / "fast"), rows(tmp_path / "plain"), strict=True):
        assert mine["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_an_exported_file_has_the_rule(tool, run, videos, tmp_path):
    tool("calibrate", "--checkpoint", run, "--adaptive", "0.6", "OUTPUT_DIR", tmp_path / "calibration")
    file, video = tmp_path / "model.onnx", str(videos.parent / "val/light/0.mp4")
    done = tool("export", "--checkpoint", run, "--out", file)
    assert done.code == 0, done.err
    done = tool("predict", "--model", file, "--views", "adaptive", video, "--json", tmp_path / "answer.json")
    assert done.code == 0, done.err
    (answer,) = json.loads((tmp_path / "answer.json").read_text())
    expected = dict(Predictor.from_checkpoint(run, views="adaptive").predict(video).top)
    assert {top["label"]: top["score"] for top in answer["top"]} == pytest.approx(expected, abs=1e-5)
    assert "views 'dense' need the network's inside" in refused(
        tool, "predict", "--model", file, "--views", "dense", video
    )


def test_a_calibration_without_a_rule_says_that_the_old_one_is_gone(tool, run, tmp_path):
    tool("calibrate", "--checkpoint", run, "--adaptive", "0.6", "OUTPUT_DIR", tmp_path)
    done = tool("calibrate", "--checkpoint", run, "OUTPUT_DIR", tmp_path)
    assert "the checkpoint's rule for adaptive views goes with its calibration; add --adaptive to keep one" in done.out
    assert load_checkpoint(run / "checkpoints" / "last.pth")["calibration"]["stopping"] is None


@pytest.fixture(scope="module", params=["full", "dense", "adaptive"])
def other(request, trained, tmp_path_factory):
    """A run that was trained with other views than published ones, without a rule."""
    file = tmp_path_factory.mktemp("other") / "run" / "checkpoints" / "last.pth"
    file.parent.mkdir(parents=True)
    state = load_checkpoint(trained / "checkpoints" / "last.pth")
    config = state["config"].replace("VIEWS: published", f"VIEWS: {request.param}")
    assert config != state["config"]
    preprocessing = {**state["preprocessing"], "views": request.param}
    save_checkpoint(file, {**state, "config": config, "preprocessing": preprocessing}, then="test again")
    return file.parents[1]


@pytest.fixture(scope="module")
def said_of_published():
    """``{arguments: text}``: a command is asked about the published run once, whatever it is compared with."""
    return {}


@pytest.mark.parametrize(
    "arguments",
    [
        ("look", "VIDEO", "--out", "OUT/look.png"),
        ("timeline", "VIDEO"),
        ("timeline", "VIDEO", "--engine", "openvino"),
        ("extract_features", "--out", "OUT/features.npz"),
        ("knn", "OUTPUT_DIR", "OUT/knn", "--k", "2"),
        ("calibrate", "OUTPUT_DIR", "OUT/calibration"),
    ],
    ids=" ".join,
)
def test_what_is_of_clips_and_crops_stays_so(tool, other, trained, said_of_published, videos, tmp_path, arguments):
    """The commands say the same of a run of other views."""
    video = str(videos.parent / "val/light/0.mp4")

    def told_of(run):
        folder = tmp_path / run.parent.name
        words = [word.replace("VIDEO", video).replace("OUT/", f"{folder}/") for word in arguments]
        folder.mkdir()
        copy = shutil.copytree(run, folder / "run")
        done = tool(words[0], "--checkpoint", copy, *words[1:])
        assert done.code == 0, done.err
        # How fast a timeline was made is another number each time.
        told = re.sub(r"[0-9.]+ s, [0-9.]+ times", "", done.out)
        # And a calibration says that it is not of those views.
        told = re.sub(r"note: fitted on clips and crops: .*\n", "", told)
        return told.replace(str(copy), "RUN").replace(str(folder), "OUT")

    if arguments not in said_of_published:
        said_of_published[arguments] = told_of(trained)
    assert told_of(other) == said_of_published[arguments]


def test_features_of_a_video_are_of_clips_and_crops(other, trained, videos):
    video = str(videos.parent / "val/light/0.mp4")
    found = [features_of_video(Predictor.from_checkpoint(run), video) for run in (other, trained)]
    assert torch.equal(*found)


# -- Refusals


def test_adaptive_views_without_a_rule_are_refused(tool, trained, tmp_path):
    line = refused(tool, "test_net", "--checkpoint", trained, "TEST.VIEWS", "adaptive", "OUTPUT_DIR", tmp_path)
    assert "make one: video-rs calibrate --checkpoint CKPT --adaptive 0.01" in line


def test_parts_of_videos_are_not_for_engines(tool, trained, tmp_path):
    options = ["--engine", "openvino", "TEST.VIEWS", "dense", "OUTPUT_DIR", tmp_path]
    assert refused(tool, "test_net", "--checkpoint", trained, *options).endswith(
        "views 'dense' are parts of videos, and an engine is made for clips of one length; allowed with --engine and "
        "--precision: published, full, adaptive; take one of them, or leave the engine out"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--adaptive", "1.5"], "--adaptive is 1.5; allowed: above 0 and below 1, such as 0.01"),
        (
            ["--adaptive", "0.01"],
            "--adaptive 0.01 cannot be known from 4 videos: were no answer another one, the share could still be 0.527 "
            "(95 % confidence); give more videos, or a higher share",
        ),
        (
            ["--adaptive", "0.6", "TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1"],
            "--adaptive chooses among the views of a video, and there is one; set TEST.NUM_ENSEMBLE_VIEWS 10",
        ),
    ],
)
def test_rules_that_cannot_be_made_are_refused(tool, trained, tmp_path, options, message):
    line = refused(tool, "calibrate", "--checkpoint", trained, *options, "OUTPUT_DIR", tmp_path)
    assert line.endswith(message)
    assert load_checkpoint(trained / "checkpoints" / "last.pth").get("calibration") is None


def test_rules_for_several_labels_are_refused(trained):
    preprocessing = Predictor.from_checkpoint(trained).preprocessing
    assert refusal(require_views_to_spare, preprocessing, True) == (
        "adaptive views stop where the best class is decided, and with DATA.MULTI_LABEL each class is judged by "
        "itself; allowed: published, full, dense"
    )
