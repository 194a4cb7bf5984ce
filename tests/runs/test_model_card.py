"""``video-rs export --format hub``: a folder that answers as the checkpoint does, and a card of the run's own facts."""

import shutil
from dataclasses import replace

import pytest
import torch

from video_rs import Predictor
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.metrics import VideoResult
from video_rs.inference.export import load_program
from video_rs.inference.predictions import Predictions
from video_rs.inference.predictions.predictions import About
from video_rs.lists.records import VideoRecord
from video_rs.models import VideoClassifier
from video_rs.reports.model_card import ModelCard, card_text, plain
from video_rs.runs.model_card import failures_of, model_card, results_of


@pytest.fixture
def run(trained, tmp_path):
    """A copy of a finished run, without what other tests have tested of it."""
    return shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("test*", "knn*"))


@pytest.fixture
def predictions():
    """Of seven videos of six classes: 4 right at once, 1 in the five best, 1 wrong, 1 unreadable."""
    names = ("a|b", "b", "c", "d", "e", "f")
    best = [0, 1, 2, 3, 1, 1, None]
    labels = [0, 1, 2, 3, 0, 5, 2]
    records, results = [], []
    for index, (said, label) in enumerate(zip(best, labels, strict=True)):
        path = f"/somewhere/secret/{index}.mp4"
        records.append(VideoRecord(path, (label,), None, None, path))
        if said is None:
            results.append(VideoResult(index, path, (label,), error="no such file", id=path))
            continue
        # The worst class of all is the last.
        probabilities = torch.tensor([0.05, 0.04, 0.03, 0.02, 0.01, 0.0])
        probabilities[said] = 0.5 + index / 100
        results.append(VideoResult(index, path, (label,), probabilities, views=2, id=path))
    return Predictions(names, tuple(records), tuple(results), About(step=4, list="/somewhere/list.csv", clips=2))


def test_accuracies_have_wilsons_intervals(predictions):
    """4 and 5 of 6, by the formula of Wilson with z = 1.96."""
    assert results_of(predictions) == {
        "top-1": "66.7% (30.0% to 90.3%; 4 of 6)",
        "top-5": "83.3% (43.6% to 97.0%; 5 of 6)",
        "could not be read": "1 video",
    }


def test_a_video_without_a_class_has_no_part_in_accuracies(predictions):
    nothing = replace(predictions.results[0], labels=())
    results = (nothing, *predictions.results[1:])
    found = results_of(replace(predictions, results=results, about=replace(predictions.about, multi_label=True)))
    assert found["top-1"].endswith("; 3 of 5)")
    assert found["could not be read"] == "1 video"
    assert results_of(replace(predictions, records=predictions.records[:1], results=(nothing,))) == {}


def test_failures_are_named_without_their_folders(predictions):
    assert failures_of(predictions) == {
        "mistakes": [("5.mp4", "f", "b", pytest.approx(0.55)), ("4.mp4", "a|b", "b", pytest.approx(0.54))],
        "confused": [],
        "unreadable": [("6.mp4", "no such file")],
    }
    twice = Predictions(predictions.label_names, predictions.records, predictions.results[4:5] * 2, predictions.about)
    assert failures_of(twice)["confused"] == [("a|b", "b", 2)]


def test_the_command_writes_a_folder_that_answers_as_the_checkpoint(tool, run, videos, tmp_path):
    out = tmp_path / "out"
    result = tool("export", "--checkpoint", run, "--format", "hub", "--out", out)
    assert result.code == 0, result.err
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    video = videos.parent / "val/dark/0.mp4"
    assert load_program(out).predict(video).top == Predictor.from_checkpoint(run, "cpu").predict(video).top
    state = load_checkpoint(run)
    loaded = VideoClassifier.from_pretrained(out).state_dict()
    assert all(torch.equal(value, state["ema"][name]) for name, value in loaded.items())


def test_a_card_tells_the_run_and_nothing_of_the_machine(tool, run, tmp_path):
    tool("export", "--checkpoint", run, "--format", "hub", "--out", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    state = load_checkpoint(run)
    for line in (
        "# r3d\\_rs\\_tiny, 2 classes",
        "Classifies videos into 2 classes: dark, light.",
        "| frames | 4, every 2 |",
        "| size | short side 40, crops of 32 x 32 |",
        "| views | 2 clips x 3 crops, their mean |",
        f"| training list | list.csv, fingerprint {state['dataset']['train'][:16]} |",
        "| SOLVER.MAX\\_EPOCH | 2 |",
        "| SOLVER.BASE\\_LR | 0.05 |",
        "| MODEL.WIDTH | 0.125 |",
        "- It is not calibrated: probabilities are no frequencies.",
    ):
        assert line in text.splitlines()
    assert "On the 4 videos of `list.csv`, 1 clip x 1 crop each, step 4. " in text
    hits = round(4 * state["metrics"]["top1"])
    assert f"; {hits} of 4) |" in text
    assert text.startswith("---\nlibrary_name: video_rs\npipeline_tag: video-classification\n")
    assert "/" not in text.replace("`", "").replace("](", "").split("## Input")[1]


def test_a_card_that_is_there_stays(tool, run, tmp_path):
    (tmp_path / "README.md").write_text("by hand")
    result = tool("export", "--checkpoint", run, "--format", "hub", "--out", tmp_path)
    assert result.code == 0
    assert f"{tmp_path}/README.md is there, and stays as it is\n" in result.out
    assert (tmp_path / "README.md").read_text() == "by hand"


def test_predictions_of_another_step_are_not_told(run):
    state = load_checkpoint(run)
    path = run / "checkpoints" / "last.pth"
    assert model_card(state, path).results
    state["step"] += 1
    card = model_card(state, path)
    assert (card.results, card.mistakes, card.evaluated) == ({}, (), "Not evaluated.")
    assert "## Failures\n\nNot looked for: there was no evaluation.\n" in card_text(card)


def test_a_calibrated_network_says_when_it_is_unsure(run):
    state = {**load_checkpoint(run), "calibration": {"temperature": 2.0, "threshold": 0.75}}
    notes = model_card(state, run / "checkpoints" / "last.pth").notes
    assert "Below a probability of 0.750 its answer is `unsure`." in notes


def test_names_are_no_markdown():
    assert plain("a|b\n<i>*x*</i> `y`") == "a\\|b \\<i\\>\\*x\\*\\</i\\> \\`y\\`"


def test_many_classes_are_cut_short_and_no_failure_is_said_in_words():
    card = ModelCard("t", [f"c{i}" for i in range(23)], {}, {}, {}, {"top-1": "100%"}, "On 1 video.", notes=["n"])
    text = card_text(card)
    assert "c18, c19, and 3 more." in text
    assert "## Failures\n\nNone are known.\n" in text


def test_a_temperature_alone_is_a_calibration(run):
    state = {**load_checkpoint(run), "calibration": {"temperature": 2.0, "threshold": None}}
    text = card_text(model_card(state, run / "checkpoints" / "last.pth"))
    assert "not calibrated" not in text
    assert "`unsure`" not in text
