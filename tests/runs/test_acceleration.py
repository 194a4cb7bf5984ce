"""``--engine`` and ``--precision`` of the commands that answer: the same answers, and what is refused."""

import dataclasses
import json
import os
import signal
from types import SimpleNamespace

import pytest
import torch

from helpers.jobs import run_job
from helpers.predictions import rows
from helpers.videos import moving_square
from video_rs.data.dataset import VideoSource, ViewReader
from video_rs.data.loader import Workers
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.engine.evaluation import NetworkScorer
from video_rs.inference import Predictor
from video_rs.inference.precision import Loss
from video_rs.inference.sample_views import sample_views
from video_rs.lists.records import VideoRecord, read_records
from video_rs.runs import acceleration
from video_rs.runs.acceleration import EngineChoice, accelerated_predictor, facts_of
from video_rs.runtime.errors import InputError
from video_rs.video.encoding import write_video

pytestmark = pytest.mark.usefixtures("blank_charts")


@pytest.fixture(scope="module")
def checkpoint(trained):
    return trained / "checkpoints" / "last.pth"


@pytest.fixture(scope="module")
def read(checkpoint):
    predictor = Predictor.from_checkpoint(checkpoint)
    return ViewReader(predictor.preprocessing, VideoSource())


# -- The commands


def test_testing_by_another_engine_gives_the_same_probabilities(tool, trained, tmp_path):
    tool("test_net", "--checkpoint", trained, "OUTPUT_DIR", tmp_path / "plain")
    done = tool("test_net", "--checkpoint", trained, "--engine", "openvino", "OUTPUT_DIR", tmp_path / "fast")
    assert done.code == 0, done.err
    assert "computed by openvino in float32\n" in done.out
    for mine, other in zip(rows(tmp_path / "fast"), rows(tmp_path / "plain"), strict=True):
        assert mine["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)
    metrics = json.loads((tmp_path / "fast" / "metrics.json").read_text())
    plain = json.loads((tmp_path / "plain" / "metrics.json").read_text())
    assert (metrics.pop("engine"), plain.pop("engine")) == ("openvino", "eager")
    assert metrics == plain
    assert metrics["precision"] == "float32"


def test_predicting_in_int8_is_calibrated_on_the_list_that_is_named(tool, trained, videos, tmp_path):
    video = videos.parent / "val/light/0.mp4"
    exact = dict(Predictor.from_checkpoint(trained).predict(video).top)
    # The engine that has this precision is found.
    options = ["--precision", "int8", "--calibration", videos]
    done = tool("predict", "--checkpoint", trained, *options, video, "--json", tmp_path / "answer.json")
    assert done.code == 0, done.err
    # Of eight training videos four are calibrated on, and four are checked.
    assert "computed by openvino in int8: against float32 the same best class in 100.0% of 4 views" in done.out
    (answer,) = json.loads((tmp_path / "answer.json").read_text())
    found = {top["label"]: top["score"] for top in answer["top"]}
    assert found == pytest.approx(exact, abs=0.03)
    assert found != pytest.approx(exact, abs=1e-6)


def test_a_timeline_is_computed_by_an_engine(tool, trained, videos):
    video = videos.parent / "val/light/0.mp4"
    done = tool("timeline", "--checkpoint", trained, "--engine", "onnxruntime", video)
    assert done.code == 0, done.err
    assert "computed by onnxruntime in float32\n" in done.out


def test_clips_are_those_of_the_runs_own_training_rows(checkpoint, monkeypatch):
    asked = []
    monkeypatch.setattr(acceleration, "sample_views", lambda *found: asked.append(found[0]) or sample_views(*found))
    predictor = Predictor.from_checkpoint(checkpoint)
    steps = []
    read_list = acceleration.read_records
    monkeypatch.setattr(acceleration, "register_handlers", lambda _: steps.append("handlers"))
    monkeypatch.setattr(acceleration, "read_records", lambda *a, **k: steps.append("list") or read_list(*a, **k))
    fast = accelerated_predictor(predictor, EngineChoice("openvino", "auto"), checkpoint)
    assert {record.path.split("/")[-3] for record in asked[0]} == {"train"}
    # The list may lie behind one of the run's handlers.
    assert steps == ["handlers", "list"]
    assert len(asked[0]) == 8
    assert isinstance(fast.scorer, NetworkScorer)
    assert (fast.answers, fast.preprocessing, fast.batch) == (
        predictor.answers,
        predictor.preprocessing,
        predictor.batch,
    )
    # The network is there for who looks into it.
    assert fast.scorer.model is predictor.scorer.model


def test_what_the_precision_changes_is_told(checkpoint, videos):
    predictor = Predictor.from_checkpoint(checkpoint)
    assert facts_of(predictor.scorer) == {"engine": "eager", "precision": "float32"}
    choice = EngineChoice("openvino", "int8", str(videos))
    scorer = accelerated_predictor(predictor, choice, checkpoint).scorer
    facts = facts_of(scorer)
    assert (facts["engine"], facts["precision"]) == ("openvino", "int8")
    assert facts["against_float32"] == scorer.run.loss._asdict()
    assert isinstance(scorer.run.loss, Loss)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_convolutions_are_checked_in_bfloat16_where_that_is_computed(checkpoint, monkeypatch, precision):
    """At the size of the batches; in float32 they have been checked when the network was loaded."""
    predictor = Predictor.from_checkpoint(checkpoint)
    checked = []
    fast = SimpleNamespace(engine="eager", precision=precision, loss=None)
    monkeypatch.setattr(acceleration, "accelerate", lambda *_: fast)
    monkeypatch.setattr(acceleration, "require_choice", lambda *_: None)
    monkeypatch.setattr(acceleration, "require_right_convolutions", lambda *asked: checked.append(asked))
    scorer = accelerated_predictor(predictor, EngineChoice("auto", precision), checkpoint).scorer
    assert scorer.run is fast
    shape = predictor.preprocessing.clip_shape(predictor.batch)
    asked = (predictor.scorer.model, shape, torch.bfloat16, "take --precision float32")
    assert checked == ([asked] if precision == "bfloat16" else [])


RANKS = """
import os

def fastest(run, clips):
    assert os.environ["RANK"] == "0"
    return 1.0 if type(run).__name__ == "OnnxRun" else 2.0

import importlib
importlib.import_module("video_rs.inference.accelerate").seconds = fastest
"""


def test_one_of_many_processes_chooses_the_engine(trained, tmp_path):
    """It alone has timed them; the others build what it has found."""
    plain, fast = tmp_path / "plain", tmp_path / "fast"
    for folder in (plain, fast):
        folder.mkdir()
    test = ("test_net", "--checkpoint", trained)
    job = run_job(fast, 2, *test, "--engine", "auto", "OUTPUT_DIR", fast / "test", before=RANKS)
    assert job.codes == [0, 0], job.err
    assert job.out.splitlines().count("computed by onnxruntime in float32") == 1
    assert json.loads((fast / "test" / "metrics.json").read_text())["engine"] == "onnxruntime"
    run_job(plain, 1, *test, "OUTPUT_DIR", plain / "test")
    for mine, other in zip(rows(fast / "test"), rows(plain / "test"), strict=True):
        assert mine["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_what_the_first_process_cannot_have_is_refused_on_all(trained, tmp_path):
    options = ["--engine", "onnxruntime", "--precision", "int8", "OUTPUT_DIR", tmp_path]
    job = run_job(tmp_path, 2, "test_net", "--checkpoint", trained, *options)
    assert job.codes == [2, 2]
    assert "engine 'onnxruntime' does not compute in int8; allowed with it: auto, float32" in job.err


@pytest.mark.parametrize("options", [["--engine", "openvino"], ["--engine", "onnxruntime"], ["--precision", "int8"]])
def test_whole_frames_by_an_engine(tool, trained, tmp_path, options):
    """Landscape, portrait and square films in one call: frames of 32 x 96, 96 x 32 and 32 x 32."""
    folder = tmp_path / "films"
    folder.mkdir()
    for index, (height, width) in enumerate(((48, 120), (120, 48), (48, 48), (48, 120))):
        frames = moving_square(index, light=index % 2 == 0, size=120)[:, :height, :width]
        write_video(folder / f"{index}.mp4", frames, fps=10)
    answers = tmp_path / "answers.json"
    done = tool("predict", "--checkpoint", trained, "--views", "full", *options, folder, "--json", answers)
    assert done.code == 0, done.err
    predictor = Predictor.from_checkpoint(trained, views="full")
    found = json.loads(answers.read_text())
    assert len(found) == 4
    for answer in found:
        expected = dict(predictor.predict(answer["video"]).top)
        tolerance = 0.03 if "int8" in options else 1e-5
        assert {top["label"]: top["score"] for top in answer["top"]} == pytest.approx(expected, abs=tolerance)


def test_refusals_come_before_videos_are_read(tool, trained, videos, tmp_path, monkeypatch):
    def read(*_):
        raise AssertionError("videos were read")

    monkeypatch.setattr(acceleration, "sample_views", read)

    def refused(*arguments):
        done = tool(*arguments)
        assert done.code == 2
        return done.err.strip()

    common = ["--checkpoint", trained, "--precision", "int8", "OUTPUT_DIR", tmp_path, "TEST.VIEWS"]
    line = refused("test_net", "--engine", "onnxruntime", *common, "full")
    assert line.endswith("engine 'onnxruntime' does not compute in int8; allowed with it: auto, float32")
    assert "engine 'compile' takes a minute" in refused("test_net", "--engine", "compile", *common, "full")
    assert "need a rule to stop by" in refused("test_net", *common, "adaptive")
    options = ["--checkpoint", trained, "--precision", "int8", "--views", "adaptive"]
    assert "need a rule to stop by" in refused("predict", *options, videos.parent / "val")


# -- The clips


def test_no_group_is_on_both_sides(read, videos):
    """Videos are told apart by their first frame; each file is in the list three times."""
    records = read_records(str(videos), split="train").records
    groups = [f"group {index % 3}" for index in range(len(records))]
    listed = [dataclasses.replace(record, group=group) for record, group in zip(records, groups, strict=True)]
    calibration, check = sample_views(listed, "the list", read)
    seen = {}
    single = dataclasses.replace(read, preprocessing=read.preprocessing.single_view())
    for record in listed:
        (view,) = next(single(record, 0).views(1))
        seen[view.numpy().tobytes()] = record.group
    sides = [{seen[view.numpy().tobytes()] for view in side} for side in (calibration, check)]
    assert sides[0] | sides[1] == {"group 0", "group 1", "group 2"}
    assert not sides[0] & sides[1]
    assert calibration.dtype == torch.uint8
    assert calibration.shape[1:] == (3, 4, 32, 32)
    # The same each time.
    again = sample_views(listed, "the list", read)
    assert torch.equal(again[0], calibration)
    assert torch.equal(again[1], check)


def test_no_more_clips_are_read_than_needed(read, videos, monkeypatch):
    monkeypatch.setattr("video_rs.inference.sample_views.CALIBRATION_VIDEOS", 2)
    monkeypatch.setattr("video_rs.inference.sample_views.CHECK_VIDEOS", 3)
    calibration, check = sample_views(read_records(str(videos), split="train").records, "the list", read)
    assert (len(calibration), len(check)) == (2, 3)


def test_of_large_clips_fewer_are_read(read, videos, monkeypatch):
    """Four frames of 32 x 32 are 12 KiB."""
    monkeypatch.setattr("video_rs.inference.sample_views.VIEWS_BYTES", 3 * 12 * 1024)
    monkeypatch.setattr("video_rs.inference.sample_views.FEWEST_VIEWS", 2)
    records = read_records(str(videos), split="train").records
    assert [len(side) for side in sample_views(records, "the list", read)] == [3, 3]
    monkeypatch.setattr("video_rs.inference.sample_views.VIEWS_BYTES", 1)
    assert [len(side) for side in sample_views(records, "the list", read)] == [2, 2]


def test_unreadable_videos_are_passed_over(read, videos, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"none")
    broken = [VideoRecord(str(tmp_path / "broken.mp4"), (), None, None, "broken", f"group {n}") for n in range(9)]
    calibration, check = sample_views([*broken, *read_records(str(videos), split="train").records], "the list", read)
    assert len(calibration) + len(check) == 8


class Deadly(ViewReader):
    """Reads videos, of which some end the process that reads them."""

    def __call__(self, record, index):
        if record.group == "deadly":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(record, index)


def test_a_video_that_ends_its_reader_is_passed_over(read, videos):
    """Reading processes are lost, and not the command."""
    deadly = Deadly(read.preprocessing, read.source)
    records = read_records(str(videos), split="train").records
    some = [dataclasses.replace(record, group="deadly") for record in records[:2]]
    calibration, check = sample_views([*some, *records], "the list", deadly, Workers(2))
    assert len(calibration) + len(check) == 8


# -- Refusals


def refused(tool, *arguments):
    done = tool(*arguments)
    assert done.code == 2
    (line,) = done.err.splitlines()
    return line


def test_a_list_without_readable_videos_is_refused(tool, trained, tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.mp4").write_bytes(b"none")
    (tmp_path / "list.csv").write_text("path\na.mp4\nb.mp4\n")
    options = ["--precision", "auto", "--calibration", tmp_path / "list.csv"]
    assert refused(tool, "test_net", "--checkpoint", trained, *options).endswith(
        f"{tmp_path}/list.csv has no readable video to calibrate on; allowed: readable videos of at least two groups; "
        "give another --calibration"
    )


def test_a_list_of_one_group_is_refused(read, videos):
    records = [dataclasses.replace(r, group="one") for r in read_records(str(videos), split="train").records]
    with pytest.raises(InputError, match=r"^one\.csv has no readable video to calibrate on; allowed: "):
        sample_views(records, "one.csv", read)


def test_a_calibration_that_nothing_is_chosen_by_is_refused(tool, trained, videos):
    line = refused(tool, "test_net", "--checkpoint", trained, "--engine", "openvino", "--calibration", videos)
    assert line.endswith(
        "--calibration says nothing with --precision float32; add --precision auto, bfloat16 or int8, or leave it out"
    )
    assert refused(tool, "predict", "--checkpoint", trained, "--calibration", videos, videos) == line


def test_a_training_list_that_is_gone_is_refused(checkpoint, read):
    state = load_checkpoint(checkpoint)
    gone = state["config"].replace("list.csv", "gone.csv")
    scorer = Predictor.from_checkpoint(checkpoint).scorer
    with pytest.raises(InputError) as caught:
        acceleration.accelerated(scorer, EngineChoice("openvino", "auto"), {**state, "config": gone}, read, 2)
    message = str(caught.value)
    assert message.startswith("a precision is chosen by real videos, and those that the run was trained on are not")
    assert "gone.csv" in message
    assert message.endswith("; give --calibration LIST")


def test_an_exported_file_has_its_own_engine(tool, videos, tmp_path):
    line = refused(tool, "predict", "--model", tmp_path / "model.onnx", "--engine", "openvino", videos)
    assert line.endswith(
        "--engine, --precision and --calibration are for a --checkpoint; a --model file has its own engine and "
        "precision (video-rs quantize writes one in int8)"
    )
