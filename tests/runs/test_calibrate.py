"""Calibration of a trained network: what is fitted, what is stored, and what then acts on it."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from video_rs.engine.checkpoint import load_checkpoint, save_checkpoint
from video_rs.evaluation.calibrating import ScoredVideos, calibrate
from video_rs.evaluation.calibration import mean_over_views
from video_rs.inference import Predictor
from video_rs.inference.predictions import Predictions
from video_rs.runs.calibrate import _sentences

ONE_VIEW = ("TEST.NUM_ENSEMBLE_VIEWS", "1", "TEST.NUM_SPATIAL_CROPS", "1")


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the tiny run, to be calibrated."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    shutil.copy(trained / "checkpoints" / "last.pth", folder / "checkpoints" / "last.pth")
    return folder


@pytest.fixture
def listed(videos, tmp_path):
    """A list of 40 rows of six groups: the twelve clips again and again, every fifth with the other class's name."""
    rows = ["path,label,group,id"]
    for number in range(40):
        label = ("dark", "light")[number % 2]
        part, clip = ("val", number % 2) if number % 3 == 0 else ("train", number % 4)
        said = {"dark": "light", "light": "dark"}[label] if number % 5 == 0 else label
        rows.append(f"{videos.parent}/{part}/{label}/{clip}.mp4,{said},group {number % 6},row {number}")
    path = tmp_path / "listed.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def synthetic(count=3000, unknown=0, seed=0):
    """Videos of three classes with two views, whose logits are three times too large; and strangers."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 1.5, (count + unknown, 1, 3))
    # The network is less sure of strangers, as it may well be.
    logits[count:] *= 0.3
    shares = np.exp(logits[:, 0]) / np.exp(logits[:, 0]).sum(1, keepdims=True)
    drawn = (shares.cumsum(1) > generator.random((len(shares), 1))).argmax(1)
    truth = np.eye(3, dtype=bool)[drawn]
    truth[count:] = False
    said = np.exp(3 * np.repeat(logits, 2, axis=1))
    views = (said / said.sum(2, keepdims=True)).astype(np.float32)
    return ScoredVideos(list(views), truth, truth.any(1), np.arange(count + unknown) % 20, False)


def test_the_temperature_is_found_and_calibrates_other_groups():
    content, _ = calibrate(synthetic(), None)
    assert content["temperature"] == pytest.approx(3, rel=0.06)
    assert content["before"]["calibration_error"] > 0.15
    after = content["cross_fitted"]
    assert after["calibration_error"] < 0.03
    assert after["cross_entropy"] < content["before"]["cross_entropy"] - 0.3
    assert (after["folds"], content["threshold"]) == (5, None)


def test_the_threshold_holds_its_precision_on_other_groups_with_strangers_among_them():
    content, _ = calibrate(synthetic(3000, 600), 0.85)
    assert (content["videos"], content["unknown"]) == (3600, 600)
    assert content["bound"] >= 0.85
    after = content["cross_fitted"]
    assert after["precision"] == pytest.approx(0.86, abs=0.02)
    # What is answered is less than all, and of the strangers less than of the known.
    assert 0.05 < after["coverage"] < 0.8
    assert after["unknown_unsure"] > 1 - after["coverage"] - 0.05


def test_of_one_group_nothing_is_known_of_others():
    videos = synthetic(200)
    content, judged = calibrate(replace(videos, groups=np.zeros(200)), None)
    assert content["cross_fitted"] is None
    assert judged is None


def test_a_video_without_any_of_several_classes_has_its_part_in_the_fit():
    """Of videos with a true class alone, a network would seem to say "yes" too seldom."""
    generator = np.random.default_rng(5)
    logits = generator.normal(-2, 1.5, (4000, 1, 3))
    truth = generator.random((4000, 3)) < 1 / (1 + np.exp(-logits[:, 0]))
    assert 0.3 < (~truth.any(1)).mean() < 0.7
    said = (1 / (1 + np.exp(-2.5 * logits))).astype(np.float32)
    every = np.ones(4000, bool)
    content, judged = calibrate(ScoredVideos(list(said), truth, every, np.arange(4000) % 20, True), None)
    assert content["temperature"] == pytest.approx(2.5, rel=0.05)
    assert (content["videos"], content["unknown"]) == (4000, 0)
    assert (judged.losses > 0).all()


def test_a_calibration_says_which_views_it_is_not_of(tool, run, listed, tmp_path):
    told = "note: fitted on clips and crops: it promises nothing of answers by views 'full'"
    options = ("--checkpoint", run, "--list", listed, "OUTPUT_DIR", tmp_path / "out")
    assert told in tool("calibrate", *options, "TEST.VIEWS", "full", *ONE_VIEW).out.splitlines()
    assert "promises nothing" not in tool("calibrate", *options, *ONE_VIEW).out


def test_a_checkpoint_is_calibrated_and_all_that_reads_it_acts_on_it(tool, run, listed, videos, tmp_path):
    plain = ("test_net", "--checkpoint", run, "--list", listed, "TEST.KEEP_VIEWS", "true", *ONE_VIEW)
    assert tool(*plain, "OUTPUT_DIR", tmp_path / "before").code == 0
    before = load_checkpoint(run)
    result = tool("calibrate", "--checkpoint", run, "--list", listed, "--precision", 0.5, *ONE_VIEW)
    assert result.code == 0, result.err

    content = json.loads((run / "calibration" / "calibration.json").read_text())
    assert load_checkpoint(run)["calibration"] == content
    assert content["list"] == str(listed)
    assert f"temperature {content['temperature']:.4g}, fitted on 40 videos" in result.out
    assert "calibrated: each video by a fit without its group (5 folds)" in result.out
    assert f"unsure below {content['threshold']:.4f}: " in result.out
    assert "on groups that it was not chosen on: " in result.out
    assert (run / "calibration" / "reliability.png").read_bytes()[:4] == b"\x89PNG"
    # Nothing else of the checkpoint is another.
    after = load_checkpoint(run)
    assert after.keys() - before.keys() == {"calibration"}
    assert all((after["ema"][key] == value).all() for key, value in before["ema"].items())

    # The temperature is the best of a fine grid.
    found = Predictions.read(tmp_path / "before")
    views = [result.view_probabilities.numpy() for result in found.results]
    grid = np.exp(np.linspace(np.log(0.05), np.log(20), 2000))
    losses = [-np.log(mean_over_views(views, t, False)[found.truth]).mean() for t in grid]
    assert np.log(content["temperature"]) == pytest.approx(np.log(grid[int(np.argmin(losses))]), abs=0.01)

    # Testing and prediction have the new probabilities, and say what is unsure.
    assert tool(*plain, "OUTPUT_DIR", tmp_path / "after").code == 0
    tested = Predictions.read(tmp_path / "after")
    assert (tested.about.temperature, tested.about.threshold) == (content["temperature"], content["threshold"])
    expected = mean_over_views(views, content["temperature"], False)
    assert tested.probabilities == pytest.approx(expected, abs=1e-5)
    # As many videos as were counted for the threshold are answered, those at the threshold among them.
    answered = (tested.probabilities.max(1) >= content["threshold"]).sum()
    assert answered == round(content["coverage"] * 40)


def test_prediction_is_unsure_below_the_threshold(tool, run, videos, tmp_path):
    video = videos.parent / "val/dark/0.mp4"
    score = Predictor.from_checkpoint(run, "cpu").predict(video).top[0][1]
    for threshold, is_unsure in ((score + 1e-4, True), (score - 1e-4, False)):
        content = {**load_checkpoint(run), "calibration": {"temperature": 1.0, "threshold": threshold}}
        save_checkpoint(run / "checkpoints" / "last.pth", content)
        answer = Predictor.from_checkpoint(run, "cpu").predict(video)
        assert answer.unsure is is_unsure
        result = tool("predict", "--checkpoint", run, video, "--json", tmp_path / "a.json")
        assert json.loads((tmp_path / "a.json").read_text())[0]["unsure"] is is_unsure
        assert (result.out.splitlines()[1] == "  unsure") is is_unsure


def test_videos_of_other_classes_count_as_wrong(tool, run, listed, videos, tmp_path):
    strangers = tmp_path / "strangers.csv"
    strangers.write_text(
        "path,label\n" + "".join(f"{videos.parent}/train/{name}.mp4,juggling\n" for name in ("dark/0", "light/1"))
    )
    arguments = ("--list", listed, "--precision", 0.4, "--unknown", strangers, *ONE_VIEW)
    result = tool("calibrate", "--checkpoint", run, *arguments, "OUTPUT_DIR", tmp_path / "out")
    assert result.code == 0, result.err
    content = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert (content["videos"], content["unknown"]) == (42, 2)
    assert " of the known videos are answered, and " in result.out
    assert " of 2 unknown ones are unsure" in result.out


def test_a_folder_of_videos_is_unknown_too(tool, run, listed, videos, tmp_path):
    folder = tmp_path / "strangers"
    folder.mkdir()
    shutil.copy(videos.parent / "train/dark/0.mp4", folder)
    arguments = ("--list", listed, "--precision", 0.4, "--unknown", folder, *ONE_VIEW, "OUTPUT_DIR", tmp_path / "out")
    result = tool("calibrate", "--checkpoint", run, *arguments)
    assert (result.code, result.err) == (0, "")
    content = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert (content["videos"], content["unknown"]) == (41, 1)

    (folder / "0.mp4").write_bytes(b"no video")
    result = tool("calibrate", "--checkpoint", run, *arguments)
    assert result.err == f"error: 0 of 1 video of {folder} could be read; a calibration needs at least 1\n"


def test_unknown_videos_that_have_a_class_of_the_network_are_told(tool, run, listed, videos, tmp_path):
    strangers = tmp_path / "strangers.csv"
    rows = [f"{videos.parent}/train/dark/{number}.mp4,{name}" for number, name in enumerate(("dark", "juggling", ""))]
    strangers.write_text("\n".join(["path,label", *rows]) + "\n")
    arguments = ("--list", listed, "--precision", 0.4, "--unknown", strangers, *ONE_VIEW)
    result = tool("calibrate", "--checkpoint", run, *arguments, "OUTPUT_DIR", tmp_path / "out")
    assert result.code == 0, result.err
    assert (
        f"note: a label of 1 of 3 videos of {strangers} is a class of the network: right answers to these count as "
        "wrong\n" in result.out
    )


def test_segments_of_a_file_are_not_split_between_fit_and_judgement(tool, run, videos, tmp_path):
    path = tmp_path / "segments.csv"
    rows = [
        f"{videos.parent}/val/{name}/0.mp4,{start},{start + 0.5},{name}"
        for name in ("dark", "light")
        for start in (0, 0.5)
    ]
    path.write_text("\n".join(["path,start,end,label", *rows]) + "\n")
    result = tool("calibrate", "--checkpoint", run, "--list", path, *ONE_VIEW, "OUTPUT_DIR", tmp_path / "out")
    assert result.code == 0, result.err
    content = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert (content["videos"], content["cross_fitted"]["folds"]) == (4, 2)


def test_overwriting_a_run_removes_its_calibration(tool, run, listed, config_file):
    from video_rs.runs.run_folder import RunFolder

    assert tool("calibrate", "--checkpoint", run, "--list", listed, *ONE_VIEW).code == 0
    RunFolder(run).clear()
    assert not (run / "calibration").exists()


def test_what_cannot_be_calibrated_is_refused(tool, run, listed, videos, tmp_path):
    def refusal(*arguments):
        result = tool("calibrate", "--checkpoint", run, "--list", listed, *arguments, *ONE_VIEW)
        assert (result.code, result.out) == (2, "")
        return result.err

    allowed = "allowed: above 0 and below 1, such as 0.95"
    assert refusal("--precision", 1) == f"error: --precision is 1; {allowed}\n"
    assert refusal("--precision", 0) == f"error: --precision is 0; {allowed}\n"
    assert refusal("--unknown", listed) == (
        "error: --unknown is for the threshold, which --precision asks for; give both, or neither\n"
    )
    for key, value in (("DATA.MULTI_LABEL", "true"), ("MODEL.DROPOUT", "0.1")):
        error = refusal(key, value)
        assert error.startswith(f"error: {key} is fixed by the checkpoint {run / 'checkpoints' / 'last.pth'}; ")
    before = (run / "checkpoints" / "last.pth").read_bytes()
    error = refusal("--precision", 0.999)
    assert error.startswith("error: --precision 0.999: no threshold holds it on 40 videos; the best that is held is 0.")
    assert error.endswith(" surest; give more videos, or a lower precision\n")
    assert (run / "checkpoints" / "last.pth").read_bytes() == before

    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    few = tmp_path / "few.csv"
    few.write_text(f"path,label\n{broken},dark\n{videos.parent}/val/light/0.mp4,light\n")
    result = tool("calibrate", "--checkpoint", run, "--list", few, *ONE_VIEW)
    assert result.code == 2
    assert f"1 video of {few} could not be read, and left out" in result.out
    assert result.err == f"error: 1 of 2 videos of {few} could be read; a calibration needs at least 2\n"


def test_a_damaged_calibration_is_refused(tool, run, videos):
    save_checkpoint(run / "checkpoints" / "last.pth", {**load_checkpoint(run), "calibration": {"temperature": 2.0}})
    result = tool("predict", "--checkpoint", run, videos.parent / "val/dark/0.mp4")
    assert result.err == (
        "error: the checkpoint's calibration cannot be read (KeyError('threshold')); make it anew with video-rs "
        "calibrate\n"
    )


def test_a_list_of_one_class_and_keys_of_the_checkpoint_are_refused(tool, run, videos, tmp_path):
    before = (run / "checkpoints" / "last.pth").read_bytes()
    listed = tmp_path / "dark.csv"
    rows = [f"{videos.parent}/{split}/dark/{number}.mp4,dark" for split in ("train", "val") for number in (0, 1)]
    listed.write_text("path,label\n" + "\n".join(rows) + "\n")
    result = tool("calibrate", "--checkpoint", run, "--list", listed)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"error: all of 4 videos of {listed} are of the class 'dark'; a calibration needs videos of at least 2 "
        "classes\n"
    )
    for key in ("MODEL.WIDTH", "DATA.LABEL_MAP", "DATA.MULTI_LABEL", "TEST.KEEP_VIEWS"):
        value = {"MODEL.WIDTH": "1.0", "DATA.LABEL_MAP": "a.txt"}.get(key, "true")
        result = tool("calibrate", "--checkpoint", run, "--list", videos, key, value)
        assert result.err == (
            f"error: {key} is fixed by the checkpoint {run}/checkpoints/last.pth; leave it out, or train anew\n"
        )
    result = tool("calibrate", "--checkpoint", run, "--list", videos, "TEST.BATCH_SIZE")
    assert result.err == "error: overrides are KEY VALUE pairs; 'TEST.BATCH_SIZE' at the end has no value\n"
    (tmp_path / "out/calibration.json").mkdir(parents=True)
    result = tool("calibrate", "--checkpoint", run, "--list", videos, "OUTPUT_DIR", tmp_path / "out")
    assert result.err == (
        f"error: OUTPUT_DIR {tmp_path}/out has a folder calibration.json, where a file goes; take another folder\n"
    )
    assert (run / "checkpoints" / "last.pth").read_bytes() == before


def test_a_calibration_that_makes_it_worse_is_told():
    before = {"cross_entropy": 0.5, "calibration_error": 0.1}
    after = {"cross_entropy": 0.6, "calibration_error": 0.2, "folds": 4}
    content = {
        "temperature": 0.5,
        "videos": 4,
        "before": before,
        "cross_fitted": after,
        "threshold": None,
        "stopping": None,
    }
    note = (
        "note: on other groups the calibrated probabilities are worse than those before: there are too few videos to "
        "fit a temperature on; give more of them"
    )
    assert _sentences(content)[-1] == note
    assert note not in _sentences({**content, "cross_fitted": {**after, "cross_entropy": 0.4}})
