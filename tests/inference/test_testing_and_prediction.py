"""tools/test_net.py and tools/predict.py: the same numbers from one stored preprocessing, and nothing replaced."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.io import write_png

from helpers.predictions import rows
from helpers.runs import tiny_run
from helpers.tools import ROOT
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.inference import Predictor
from video_rs.models import Architecture, VideoClassifier
from video_rs.runs import test
from video_rs.runtime.errors import InputError
from video_rs.video import DecodeError, open_video
from video_rs.video.encoding import write_video

pytestmark = pytest.mark.usefixtures("blank_charts")


@pytest.fixture(scope="module")
def checkpoint(trained):
    return trained / "checkpoints" / "last.pth"


def test_testing_uses_the_stored_list_and_writes_beside_the_run(tool, trained, checkpoint):
    result = tool("test_net", "--checkpoint", checkpoint)
    assert result.code == 0, result.err
    metrics = json.loads((trained / "test" / "metrics.json").read_text())
    assert (metrics["clips"], metrics["crops"], metrics["videos"], metrics["k"]) == (2, 3, 4, 2)
    right = sum(row["top"][0]["label"] == row["label"] for row in rows(trained / "test"))
    assert metrics["top1"] == right / 4
    assert f"top1 {metrics['top1']:.4f}  top2 1.0000  videos 4  (2 clips x 3 crops)" in result.out
    assert (trained / "test" / "report.html").exists()


def test_the_score_of_a_video_is_the_mean_softmax_over_its_views(checkpoint, videos):
    """Written out from the checkpoint's plain data: EMA weights, two clips, three crops; only the network is shared."""
    state = load_checkpoint(checkpoint)
    model = VideoClassifier(Architecture(**state["architecture"]), 2).eval()
    model.load_state_dict(state["ema"])
    video = videos.parent / "val/light/0.mp4"
    with open_video(video) as reader:
        frames = reader.frames(range(12))
    # 12 frames, clips of 4 with stride 2 span 8: starts 0 and 4. 48 pixels shrink to 40: crops of 32 from tops 0, 4, 8.
    small = torch.nn.functional.interpolate(frames.permute(0, 3, 1, 2).double(), size=(40, 40), mode="bilinear")
    small = (small + 2**-12).floor() / 255
    views = [small[start : start + 8 : 2, :, top : top + 32, 4:36] for top in (0, 4, 8) for start in (0, 4)]
    with torch.no_grad():
        expected = model(torch.stack(views).transpose(1, 2).float()).softmax(1).mean(0)
    answer = dict(Predictor.from_checkpoint(checkpoint, "cpu").predict(video).top)
    assert answer["dark"] == pytest.approx(float(expected[0]), abs=1e-6)


def test_prediction_equals_testing(tool, trained, checkpoint, tmp_path):
    tool("test_net", "--checkpoint", checkpoint)
    tested = rows(trained / "test")
    out = tmp_path / "answers.json"
    result = tool("predict", "--checkpoint", checkpoint, *(row["video"] for row in tested), "--json", out)
    assert result.code == 0, result.err
    answers = json.loads(out.read_text())
    assert answers == [{"video": row["video"], "top": row["top"], "error": None} for row in tested]
    best = answers[0]["top"][0]
    assert re.search(rf"{re.escape(answers[0]['video'][-50:])} +{best['score']:.2%}  {best['label']} ", result.out)
    predictor = Predictor.from_checkpoint(checkpoint)
    assert predictor.predict(tested[0]["video"]).to_dict() == answers[0]


def test_another_list_and_other_views_can_be_tested(tool, checkpoint, videos, tmp_path):
    only = tmp_path / "only.csv"
    only.write_text(f"path,label\n{videos.parent}/val/dark/0.mp4,dark\n")
    arguments = ("OUTPUT_DIR", tmp_path / "out", "TEST.NUM_ENSEMBLE_VIEWS", 1, "TEST.NUM_SPATIAL_CROPS", 1)
    result = tool("test_net", "--checkpoint", checkpoint, "--list", only, *arguments)
    assert result.code == 0, result.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["videos"], metrics["clips"], metrics["crops"]) == (1, 1, 1)


def test_numbers_in_a_list_are_taken_in_the_order_that_is_printed(tool, checkpoint, videos, tmp_path):
    listed = tmp_path / "list.csv"
    listed.write_text(f"path,label\n{videos.parent}/val/light/0.mp4,1\n{videos.parent}/val/dark/0.mp4,0.0\n")
    result = tool("test_net", "--checkpoint", checkpoint, "--list", listed, "OUTPUT_DIR", tmp_path / "out")
    assert result.out.startswith(
        f"note: {listed}: its labels are numbers, taken in the order of the class names: 0 dark, 1 light\n"
    )
    assert [row["label"] for row in rows(tmp_path / "out")] == ["light", "dark"]


def test_an_accuracy_far_under_chance_is_doubted(tool, checkpoint, videos, tmp_path):
    """Every video is said to be of the class that the network does not see in it, as where the order is another."""
    seen = Predictor.from_checkpoint(checkpoint, "cpu").predict(videos.parent / "val/dark/0.mp4").top[0][0]
    other = {"dark": "light", "light": "dark"}[seen]
    listed = tmp_path / "list.csv"
    for count, doubted in ((9, False), (10, True)):  # 1 in 512, and 1 in 1024
        listed.write_text("path,label\n" + f"{videos.parent}/val/dark/0.mp4,{other}\n" * count)
        arguments = ("OUTPUT_DIR", tmp_path / "out", "TEST.NUM_ENSEMBLE_VIEWS", 2)
        result = tool("test_net", "--checkpoint", checkpoint, "--list", listed, *arguments)
        line = (
            "top1 0.0000 is far under the 0.5000 of guessing: do the labels of the list mean the same classes, in the "
            "same order, as in training?"
        )
        assert (f"note: {line}\n" in result.out) is doubted
        assert (line in (tmp_path / "out" / "report.html").read_text()) is doubted


def test_rows_of_another_split_are_tested_in_a_folder_of_their_own(tool, trained, checkpoint, videos, tmp_path):
    listed = tmp_path / "list.csv"
    listed.write_text(
        "path,label,split\n"
        f"{videos.parent}/val/dark/0.mp4,dark,testing\n"
        f"{videos.parent}/val/light/0.mp4,light,test\n"
        f"{videos.parent}/val/light/1.mp4,light,train\n"
    )
    result = tool("test_net", "--checkpoint", checkpoint, "--list", listed, "--split", "test")
    assert (result.code, result.err) == (0, "")
    tested = rows(trained / "test_test" / f"{tmp_path.name}_list")
    assert [row["label"] for row in tested] == ["dark", "light"]
    none = tool("test_net", "--checkpoint", checkpoint, "--list", listed)
    assert (none.code, none.err) == (
        2,
        f"error: {listed} has no rows of the split 'val', only of 'test', 'train'; correct its split column (train, "
        "val, test), or test on them: video-rs test --split test\n",
    )


def test_a_split_of_a_list_without_any_is_refused(tool, checkpoint, videos, tmp_path):
    listed = tmp_path / "list.csv"
    listed.write_text(f"path,label\n{videos.parent}/val/dark/0.mp4,dark\n")
    result = tool("test_net", "--checkpoint", checkpoint, "--list", listed, "--split", "test")
    assert (result.code, result.err) == (
        2,
        f"error: {listed} has no splits, and so no rows of the split 'test'; test on all its rows without --split, or "
        "give another --list\n",
    )


def test_a_failed_video_is_listed_and_never_replaced(tool, checkpoint, videos, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    listed = tmp_path / "list.csv"
    good = videos.parent / "val/dark/0.mp4"
    listed.write_text(f"path,label\nbroken.mp4,dark\n{good},dark\ngone.mp4,light\n")
    result = tool("test_net", "--checkpoint", checkpoint, "--list", listed, "OUTPUT_DIR", tmp_path / "out")
    assert result.code == 0, result.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["videos"], metrics["failed"]) == (3, 2)
    assert metrics["top1_all"] == pytest.approx(metrics["top1"] / 3)
    assert f"failed 2  top1 with failed videos counted as wrong {metrics['top1_all']:.4f}" in result.out
    failed = {row["video"]: row["error"] for row in rows(tmp_path / "out") if row["error"]}
    assert failed[str(tmp_path / "gone.mp4")] == "no such file"
    assert set(failed) == {str(tmp_path / "broken.mp4"), str(tmp_path / "gone.mp4")}
    report = (tmp_path / "out" / "report.html").read_text()
    assert "gone.mp4" in report


def test_a_test_does_not_write_over_a_training_run(tool, trained, checkpoint):
    before = (trained / "metrics.json").read_text()
    result = tool("test_net", "--checkpoint", checkpoint, "OUTPUT_DIR", trained)
    assert result.code == 2
    assert f"{trained} holds a training run, whose results a test would replace; set another OUTPUT_DIR" in result.err
    assert (trained / "metrics.json").read_text() == before


def test_segments_of_one_video_are_told_apart(tool, checkpoint, videos, tmp_path):
    listed = tmp_path / "list.csv"
    good = videos.parent / "val/dark/0.mp4"
    listed.write_text(f"path,label,start,end,id\n{good},dark,0,0.5,\n{good},dark,0.5,1,second half\n")
    assert tool("test_net", "--checkpoint", checkpoint, "--list", listed, "OUTPUT_DIR", tmp_path / "out").code == 0
    assert [row["id"] for row in rows(tmp_path / "out")] == [f"{good}:0-0.5", "second half"]


def test_testing_exits_2_when_every_video_fails(tool, checkpoint, tmp_path):
    listed = tmp_path / "list.csv"
    listed.write_text("path,label\ngone.mp4,dark\n")
    result = tool("test_net", "--checkpoint", checkpoint, "--list", listed, "OUTPUT_DIR", tmp_path / "out")
    assert result.code == 2
    assert f"none of 1 video could be read; first: {tmp_path}/gone.mp4: no such file" in result.err
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["failed"] == 1


def test_prediction_answers_for_the_others_and_exits_2(tool, checkpoint, videos, tmp_path):
    good, out = videos.parent / "val/dark/0.mp4", tmp_path / "out.json"
    result = tool("predict", "--checkpoint", checkpoint, tmp_path / "gone.mp4", good, "--json", out)
    assert result.code == 2
    first, second = json.loads(out.read_text())
    assert first == {"video": str(tmp_path / "gone.mp4"), "top": [], "error": "no such file"}
    assert second["error"] is None
    assert [row["label"] for row in second["top"]] != []
    assert "error: no such file" in result.out
    assert result.err == f"error: 1 of 2 videos could not be read: {tmp_path / 'gone.mp4'}: no such file\n"


def test_a_folder_stands_for_the_videos_in_it_however_deep(tool, trained, videos, tmp_path):
    for path in ("a.mp4", "dark/deep/b c.mp4", "ü 🎬.MP4"):
        (tmp_path / "clips" / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(videos.parent / "val/dark/0.mp4", tmp_path / "clips" / path)
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "clips" / "notes.txt").write_text("not one either")
    out = tmp_path / "out.json"
    result = tool("predict", "--checkpoint", trained, tmp_path / "clips", "--json", out, "--processes", 1)
    assert result.code == 2
    assert result.err == (
        f"error: 1 of 4 videos could not be read: {tmp_path}/clips/broken.mp4: invalid data found when processing "
        "input\n"
    )
    answers = json.loads(out.read_text())
    assert [answer["video"].removeprefix(f"{tmp_path}/clips/") for answer in answers] == [
        "a.mp4", "broken.mp4", "dark/deep/b c.mp4", "ü 🎬.MP4",
    ]  # fmt: skip
    assert [answer["error"] is None for answer in answers] == [True, False, True, True]
    assert answers[0]["top"] == answers[2]["top"] == answers[3]["top"]


def test_a_folder_of_frames_is_one_video_and_an_empty_folder_is_refused(tool, trained, videos, tmp_path):
    (tmp_path / "frames").mkdir()
    with open_video(videos.parent / "val/dark/0.mp4") as reader:
        for number, frame in enumerate(reader.frames(range(12))):
            write_png(frame.permute(2, 0, 1), str(tmp_path / "frames" / f"img_{number}.png"))
    result = tool("predict", "--checkpoint", trained, tmp_path / "frames", videos.parent / "val/dark/0.mp4")
    assert result.code == 0, result.err
    _, frames, video = result.out.splitlines()
    # Lossless pictures of the same frames.
    assert frames.split()[1:] == video.split()[1:]

    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.xyz").touch()
    refused = tool("predict", "--checkpoint", trained, tmp_path / "none")
    assert (refused.code, refused.err) == (
        2,
        f"error: folder {tmp_path}/none has no videos in it; left out: 1 file without a video's ending (.xyz 1); "
        "give videos, or a folder of them\n",
    )


def test_answers_are_in_the_file_as_they_come(checkpoint, videos, tmp_path, monkeypatch, tool):
    """Whoever stops it in between has the answers so far."""
    good, out, seen = videos.parent / "val/dark/0.mp4", tmp_path / "deep/out.json", []
    predict_records = Predictor.predict_records

    def watched(self, *arguments):
        for answer in predict_records(self, *arguments):
            seen.append(json.loads(out.read_text()))
            yield answer
        raise MemoryError("in the middle")

    monkeypatch.setattr(Predictor, "predict_records", watched)
    with pytest.raises(MemoryError):
        tool("predict", "--checkpoint", checkpoint, good, tmp_path / "gone.mp4", good, "--json", out, "--processes", 1)
    assert [len(answers) for answers in seen] == [0, 1, 2]
    assert [answer["error"] for answer in json.loads(out.read_text())] == [None, "no such file", None]


def test_a_list_to_test_on_may_be_behind_a_handler(tool, checkpoint, videos, tmp_path, monkeypatch):
    monkeypatch.setenv("ATTIC", str(tmp_path))
    (tmp_path / "one.csv").write_text(f"path,label\n{videos.parent}/val/dark/0.mp4,dark\n")
    keys = ("DATA.PATH_HANDLERS", "helpers.attic:Attic,", "OUTPUT_DIR", tmp_path / "out")
    result = tool("test_net", "--checkpoint", checkpoint, "--list", "attic://one.csv", *keys)
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["videos"] == 1


def test_a_video_that_went_after_its_test_costs_its_sample_alone(tool, checkpoint, videos, tmp_path, monkeypatch):
    evaluate_records = test.evaluate_records
    shutil.copytree(videos.parent / "val", tmp_path / "val")
    # All labels are wrong for one of the classes: whatever the network says, there are mistakes to show.
    seen = Predictor.from_checkpoint(checkpoint, "cpu").predict(videos.parent / "val/dark/1.mp4").top[0][0]
    other = {"dark": "light", "light": "dark"}[seen]
    rows = "".join(f"val/{name}.mp4,{other}\n" for name in ("dark/0", "dark/1", "light/0"))
    (tmp_path / "list.csv").write_text(f"path,label\n{rows}")

    def and_lose_one(*arguments):
        results = evaluate_records(*arguments)
        (tmp_path / "val/dark/1.mp4").unlink()
        return results

    monkeypatch.setattr(test, "evaluate_records", and_lose_one)
    written = []
    monkeypatch.setattr(test, "write_predictions_page", lambda _, page: written.append(page))
    result = tool("test_net", "--checkpoint", checkpoint, "--list", tmp_path / "list.csv", "OUTPUT_DIR", tmp_path / "o")
    assert result.code == 0, result.err
    (page,) = written
    shown = {Path(mistake.video).name: mistake.frames is not None for mistake in page.mistakes}
    assert shown["1.mp4"] is False
    count = len(page.mistakes)
    assert f"1 of {count} picture{'s' * (count > 1)} of mistakes left out: no such video" in page.notes


def test_a_json_that_cannot_be_written_is_refused_before_the_work(tool, checkpoint, videos, tmp_path):
    result = tool("predict", "--checkpoint", checkpoint, videos.parent / "val/dark/0.mp4", "--json", tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err == f"error: --json {tmp_path} cannot be written (Is a directory); take another file\n"


def test_a_video_on_which_the_decoder_hangs_does_not_hide_the_others(tool, checkpoint, videos, tmp_path):
    good = videos.parent / "val/dark/0.mp4"
    os.mkfifo(tmp_path / "hangs.tar")
    result = tool(
        "predict", "--checkpoint", checkpoint, f"{tmp_path}/hangs.tar#0+10", good, "--processes", 1, "--time-limit", 20
    )
    assert result.code == 2
    assert "1 of 2 videos could not be read" in result.err


def test_frames_in_memory_are_predicted_as_their_file_is(checkpoint, videos):
    predictor, video = Predictor.from_checkpoint(checkpoint, "cpu"), videos.parent / "val/dark/0.mp4"
    with open_video(video) as reader:
        frames = reader.frames(range(12))
    expected = predictor.predict(video).top
    for given in (frames, frames.numpy(), frames.numpy()[::-1][::-1], frames.flip(0).numpy()[::-1]):
        prediction = predictor.predict(given)
        assert prediction.top == expected
        assert (prediction.video, prediction.error) == ("12 frames", None)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (torch.zeros(4, 8, 8, 3), "got float32 [4, 8, 8, 3], expected uint8 [T, H, W, 3] with at least one frame; if"),
        (
            torch.zeros(4, 3, 8, 8, dtype=torch.uint8),
            "got uint8 [4, 3, 8, 8], .*; put the colours last: permute(0, 2, 3, 1)",
        ),
        (np.zeros((3, 4, 8, 8), np.uint8), "put the colours last: permute(1, 2, 3, 0) of a tensor, transpose"),
        (np.zeros((8, 8, 3), np.uint8), "got uint8 [8, 8, 3]"),
        (np.zeros((0, 8, 8, 3), np.uint8), "with at least one frame"),
    ],
)
def test_frames_of_another_kind_are_refused(checkpoint, frames, message):
    expected = ".*".join(map(re.escape, message.split(".*")))
    with pytest.raises(InputError, match=expected):
        Predictor.from_checkpoint(checkpoint, "cpu").predict(frames)


def test_a_runs_folder_stands_for_its_checkpoint(tool, trained, videos, tmp_path):
    """Of predicting, testing, fine-tuning and starting from weights; the last one counts, else what is there."""
    good = videos.parent / "val/dark/0.mp4"
    expected = tool("predict", "--checkpoint", trained / "checkpoints/last.pth", good).out
    for folder in (trained, trained / "checkpoints"):
        assert tool("predict", "--checkpoint", folder, good).out == expected
    result = tool("test_net", "--checkpoint", trained)
    assert result.code == 0, result.err
    metrics = json.loads((trained / "test" / "metrics.json").read_text())
    assert metrics["checkpoint"] == str(trained / "checkpoints" / "last.pth")

    (tmp_path / "run/checkpoints").mkdir(parents=True)
    empty = tool("predict", "--checkpoint", tmp_path / "run", good)
    assert (empty.code, empty.err) == (
        2,
        f"error: folder {tmp_path}/run holds no checkpoint (checkpoints/last.pth); train first, or give a .pth file\n",
    )
    shutil.copy(trained / "checkpoints/last.pth", tmp_path / "run/checkpoints/step_7.pth")
    assert tool("predict", "--checkpoint", tmp_path / "run", good).out == expected

    started = tiny_run(videos, tmp_path / "next", SOLVER__MAX_STEPS=1)
    result = tool("train_net", "--cfg", trained, "--finetune", trained, *started)
    assert result.code == 0, result.err
    assert f"fine-tuning from {trained}" in result.out


def test_a_run_is_tested_and_continued_from_any_folder(tool, videos, config_file, tmp_path, monkeypatch):
    monkeypatch.chdir(videos.parent)
    output = os.path.relpath(tmp_path / "run", videos.parent)
    arguments = tiny_run("list.csv", output, SOLVER__MAX_STEPS=1)
    assert tool("train_net", "--cfg", config_file, *arguments).code == 0
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "list.csv").write_text("path,label\nanother.mp4,dark\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = tool("test_net", "--checkpoint", "../run")
    assert result.code == 0, result.err
    assert json.loads((tmp_path / "run/test/metrics.json").read_text())["list"] == str(videos)
    result = tool("train_net", "--cfg", "../run", "--resume")
    assert result.code == 0, result.err
    assert "is finished: 1 step; nothing to do" in result.out


def test_another_list_has_a_folder_of_its_own(tool, trained, videos, tmp_path):
    tool("test_net", "--checkpoint", trained)
    before = (trained / "test" / "metrics.json").read_bytes()
    for folder in ("a", "b"):
        (tmp_path / folder / "my set").mkdir(parents=True)
        listed = tmp_path / folder / "my set" / "list.csv"
        listed.write_text(f"path,label\n{videos.parent}/val/dark/0.mp4,dark\n")
        for _ in range(2):
            result = tool("test_net", "--checkpoint", trained, "--list", listed)
            assert result.code == 0, result.err
    metrics = [
        json.loads((trained / "test" / name / "metrics.json").read_text()) for name in ("my_set_list", "my_set_list_2")
    ]
    assert [m["list"] for m in metrics] == [f"{tmp_path}/a/my set/list.csv", f"{tmp_path}/b/my set/list.csv"]
    assert (trained / "test" / "metrics.json").read_bytes() == before
    result = tool("test_net", "--checkpoint", trained, "--list", videos)  # the run's own, named
    assert result.code == 0, result.err
    assert f"results: {trained}/test/metrics.json" in result.out


def test_the_predictor_raises_the_decoders_error(checkpoint, tmp_path):
    with pytest.raises(DecodeError, match=r"cannot decode .*gone.mp4: no such file"):
        Predictor.from_checkpoint(checkpoint).predict(tmp_path / "gone.mp4")


def test_at_most_five_labels_are_given(tool, videos, config_file, tmp_path):
    arguments = tiny_run(videos, tmp_path / "run", MODEL__NUM_CLASSES=9, SOLVER__MAX_STEPS=1)
    assert tool("train_net", "--cfg", config_file, *arguments).code == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["k"] == 5
    answer = Predictor.from_checkpoint(tmp_path / "run/checkpoints/last.pth").predict(videos.parent / "val/dark/0.mp4")
    assert len(answer.top) == 5
    assert {label for label, _ in answer.top} <= {"dark", "light", *map(str, range(2, 9))}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("MODEL.ARCH", "r3d_50"), "MODEL.ARCH is fixed by the checkpoint"),
        (("DATA.LABEL_MAP", "names.txt"), "DATA.LABEL_MAP is fixed by the checkpoint"),
        (("TEST.NUM_SPATIAL_CROPS", "2"), "TEST.NUM_SPATIAL_CROPS is 2 (override); allowed: 1, 3"),
        (("--list", "no.csv"), "list no.csv does not exist"),
    ],
)
def test_bad_input_to_testing_is_refused(tool, checkpoint, arguments, message):
    result = tool("test_net", "--checkpoint", checkpoint, *arguments)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_a_label_that_the_checkpoint_does_not_know_is_refused(tool, checkpoint, videos, tmp_path):
    listed = tmp_path / "list.csv"
    listed.write_text(f"path,label\n{videos.parent}/val/dark/0.mp4,drak\n")
    result = tool("test_net", "--checkpoint", checkpoint, "--list", listed)
    assert result.code == 2
    assert "line 2" in result.err
    assert "dark" in result.err


def test_a_run_without_a_validation_list_needs_one(tool, videos, config_file, tmp_path):
    arguments = tiny_run(videos, tmp_path / "run", DATA__VAL_LIST="", SOLVER__MAX_STEPS=1)
    assert tool("train_net", "--cfg", config_file, *arguments).code == 0
    result = tool("test_net", "--checkpoint", tmp_path / "run/checkpoints/last.pth")
    assert result.code == 2
    assert "the run had no DATA.VAL_LIST; name the videos to test on with --list" in result.err


@pytest.mark.parametrize("name", ["test_net", "predict"])
def test_what_is_no_checkpoint_is_refused(tool, tmp_path, name):
    videos = ["x.mp4"] if name == "predict" else []
    missing = tool(name, "--checkpoint", tmp_path / "none.pth", *videos)
    assert missing.code == 2
    assert f"no checkpoint at {tmp_path}/none.pth; train first" in missing.err
    torch.save({"weights": torch.zeros(1)}, tmp_path / "foreign.pth")
    foreign = tool(name, "--checkpoint", tmp_path / "foreign.pth", *videos)
    assert foreign.code == 2
    assert "foreign.pth is not a checkpoint of this project: it has no format" in foreign.err


def test_a_file_that_is_not_a_video_is_named(tool, checkpoint, tmp_path):
    shared = ROOT.parent / "shared" / "videos" / "edge"
    if not shared.is_dir():
        pytest.skip("the collection of edge-case videos is not here")
    audio = tool("predict", "--checkpoint", checkpoint, shared / "mp4parse-rust__amr_nb_1f.3gp")
    assert audio.code == 2
    assert "error: no video stream" in audio.out
    encrypted = tool(
        "predict", "--checkpoint", checkpoint, shared / "androidx-media__mkv__subsample_encrypted_altref.webm"
    )
    assert encrypted.code == 2
    assert "error:" in encrypted.out


def test_a_wide_video_is_cropped_along_its_longer_side(checkpoint, tmp_path):
    """Only the middle third is light: crops at both ends must see the dark ends, so the views disagree."""
    wide = torch.zeros(12, 48, 144, 3, dtype=torch.uint8)
    wide[:, :, 48:96] = 255
    write_video(tmp_path / "wide.mp4", wide, fps=10)
    predictor = Predictor.from_checkpoint(checkpoint)
    from video_rs.data.dataset import VideoSource, ViewReader
    from video_rs.lists.records import VideoRecord

    record = VideoRecord(str(tmp_path / "wide.mp4"), (), None, None, "wide")
    item = ViewReader(predictor.preprocessing, VideoSource())(record, 0)
    views = torch.cat(list(item.views(4)))
    assert views.shape == (6, 3, 4, 32, 32)
    brightness = views.float().mean((1, 2, 3, 4))
    # Crop-major: two clips of the left end, two of the middle, two of the right end.
    assert brightness[:2].max() < 60
    assert brightness[2:4].min() > 230
    assert brightness[4:].max() < 60
