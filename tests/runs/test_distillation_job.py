"""Runs with a teacher: with and without labels, what their checkpoints keep, and that they are the same again."""

import json
import shutil

import pytest
import torch

from helpers.charts import blank_charts
from helpers.few_labels import unlabelled_list
from helpers.jobs import run_job
from helpers.runs import assert_same_weights, tiny_run, weights
from video_rs.config import load_config
from video_rs.reports import read_log
from video_rs.runs.train import run_training

# One after the other: a job of several processes takes the cores of the machine as if it were alone.
pytestmark = pytest.mark.xdist_group("processes")

# Another form than the teacher's 4 frames of 32 x 32, over the same time.
FORM = {"DATA__NUM_FRAMES": 2, "DATA__SAMPLING_RATE": 4, "DATA__TRAIN_CROP_SIZE": 24, "DATA__TEST_CROP_SIZE": 24}
KEPT = {"TRAIN__CHECKPOINT_STEPS": 1, "TRAIN__KEEP_CHECKPOINTS": 9}


@pytest.fixture(scope="module")
def teacher(trained, tmp_path_factory):
    """A checkpoint at a place of its own."""
    place = tmp_path_factory.mktemp("teacher") / "teacher.pth"
    shutil.copy(trained / "checkpoints/last.pth", place)
    return place


@pytest.fixture(scope="module")
def unlabelled(videos, tmp_path_factory):
    """The training videos without labels."""
    return unlabelled_list(videos, tmp_path_factory.mktemp("unlabelled"))


def without_labels(unlabelled, videos, teacher, output, **changes):
    keys = {"DATA__VAL_LIST": videos, "DISTILL__TEACHER": teacher, "DISTILL__WEIGHT": 1, **FORM, **KEPT, **changes}
    return tiny_run(unlabelled, output, **keys)


@pytest.fixture(scope="module")
def run(unlabelled, videos, teacher, config_file, tmp_path_factory):
    """The folder of a finished run of 4 steps that saw no label, with a checkpoint of each step."""
    output = tmp_path_factory.mktemp("run") / "run"
    with blank_charts():
        run_training(load_config(config_file, without_labels(unlabelled, videos, teacher, output)))
    return output


def train_log(folder):
    return [record for record in read_log(folder / "log.jsonl") if record["kind"] == "train"]


def test_a_student_without_labels_has_its_teachers_classes(run, videos):
    state = weights(run)
    assert (state["label_names"], state["step"]) == (["dark", "light"], 4)
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["videos"] == 4
    for record in train_log(run):
        assert record["distill_loss"] == pytest.approx(record["loss"], rel=1e-6)
        assert 0 <= record["agreement"] <= 1
        assert not {"top1", "label_loss", "teacher_top1"} & set(record)


def test_the_report_tells_of_the_teacher(run, teacher):
    assert (
        f"teacher {teacher}, which sees each clip as 4 x 32 x 32; its answers weigh 1 at temperature 4, labels have no "
        "part in the loss"
    ) in (run / "report.html").read_text()


def test_a_checkpoint_holds_what_the_teacher_is_and_nothing_of_it(run, teacher):
    state = weights(run)
    saved = torch.load(teacher, weights_only=True)
    assert state["teacher"]["source"] == str(teacher)
    assert len(state["teacher"]["sha256"]) == 64
    assert state["teacher"]["preprocessing"]["clip"]["num_frames"] == 4
    assert (state["teacher"]["temperature"], state["teacher"]["weight"]) == (4.0, 1.0)
    assert state["model"].keys() == state["ema"].keys() == saved["model"].keys()
    assert set(state) - set(saved) == {"teacher"}


@pytest.mark.parametrize(("step", "workers"), [(1, 0), (3, 2)])
def test_a_resumed_run_is_the_uninterrupted_one(run, unlabelled, videos, teacher, config_file, tmp_path, step, workers):
    folder = tmp_path / "resumed"
    shutil.copytree(run, folder)
    shutil.copy(folder / f"checkpoints/step_{step}.pth", folder / "checkpoints/last.pth")
    with blank_charts():
        keys = without_labels(unlabelled, videos, teacher, folder, DATA__NUM_WORKERS=workers)
        run_training(load_config(config_file, keys), resume=True)
    assert weights(folder)["step"] == 4
    assert_same_weights(weights(folder), weights(run))


def test_another_teacher_is_refused_on_resume(run, unlabelled, videos, teacher, config_file, tool, tmp_path):
    """Under another name, and another one under the same name."""

    def resumed(teacher, **changes):
        keys = without_labels(unlabelled, videos, teacher, run, **changes)
        result = tool("train_net", "--cfg", config_file, "--resume", *keys)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert result.err.endswith("; restore it, or add --allow-changes to go on regardless\n")
        return result.err

    moved = tmp_path / "moved.pth"
    shutil.copy(teacher, moved)
    assert f"(DISTILL.TEACHER: '{teacher}' -> '{moved}'); restore" in resumed(moved)
    state = torch.load(teacher, weights_only=True)
    state["ema"]["fc.bias"] += 1
    torch.save(state, moved)
    assert f"(DISTILL.TEACHER: '{teacher}' -> '{moved}'; the teacher); restore" in resumed(moved)
    before = teacher.read_bytes()
    try:
        torch.save(state, teacher)
        assert "(the teacher); restore" in resumed(teacher)
    finally:
        teacher.write_bytes(before)
    assert "(DISTILL.TEMPERATURE: 4.0 -> 2.0); restore" in resumed(teacher, DISTILL__TEMPERATURE=2)


def test_with_labels_both_parts_are_logged(videos, teacher, config_file, tool, tmp_path):
    keys = {"DISTILL__TEACHER": teacher, "DISTILL__WEIGHT": 0.75, "DISTILL__TEMPERATURE": 2, "SOLVER__MAX_STEPS": 3}
    with blank_charts():
        result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", **keys))
    assert result.code == 0, result.err
    assert (
        f"teacher {teacher}, which sees each clip as 4 x 32 x 32; its answers weigh 0.75 at temperature 2, labels "
        "weigh 0.25\n"
    ) in result.out
    assert "note:" not in result.out
    for record in train_log(tmp_path / "run"):
        expected = 0.75 * record["distill_loss"] + 0.25 * record["label_loss"]
        assert record["loss"] == pytest.approx(expected, rel=1e-6)
        assert record["teacher_top1"] in (0, 0.25, 0.5, 0.75, 1)


def test_a_teacher_that_sees_less_than_it_knows_is_pointed_out(videos, teacher, config_file, tool, tmp_path):
    keys = {"DISTILL__TEACHER": teacher, "DISTILL__WEIGHT": 1, "SOLVER__MAX_STEPS": 1, "TRAIN__EVAL_PERIOD": 9}
    with blank_charts():
        for rate, now, change in ((1, 4, "raise"), (3, 12, "lower")):
            folder = tmp_path / change
            result = tool(
                "train_net", "--cfg", config_file, *tiny_run(videos, folder, DATA__SAMPLING_RATE=rate, **keys)
            )
            assert (
                f"note: the teacher was trained on clips that span 8 frames of a video, and is shown the {now} that "
                f"its student sees; {change} DATA.SAMPLING_RATE or DATA.NUM_FRAMES where it should see what it knows\n"
            ) in result.out
            assert "its answers weigh 1 at temperature 4, labels have no part in the loss\n" in result.out


def test_two_processes_train_as_one(unlabelled, videos, teacher, config_file, tmp_path):
    # Larger maps than FORM's: batch norm over two values a channel would make much of rounding.
    keys = {"SOLVER__MAX_STEPS": 3, "DATA__VAL_LIST": "", "SOLVER__BASE_LR": 0.001, "DATA__TRAIN_CROP_SIZE": 64}
    two = without_labels(unlabelled, videos, teacher, tmp_path / "two", **keys)
    done = run_job(tmp_path, 2, "train_net", "--cfg", config_file, *two)
    assert done.codes == [0, 0], done.err
    # One process that accumulates over two halves of each batch: batch norm sees the same clips together.
    with blank_charts():
        halves = without_labels(unlabelled, videos, teacher, tmp_path / "alone", TRAIN__ACCUMULATION_STEPS=2, **keys)
        run_training(load_config(config_file, halves))
    ours, alone = train_log(tmp_path / "two"), train_log(tmp_path / "alone")
    for key in ("loss", "grad_norm"):
        # Sums in another order: float32 rounding.
        assert [r[key] for r in ours] == pytest.approx([r[key] for r in alone], rel=1e-3)
    assert [r["agreement"] for r in ours] == [r["agreement"] for r in alone]


def test_refusals_are_one_line_and_leave_no_run(videos, teacher, config_file, tool, tmp_path):
    for keys, message in (
        ({"DISTILL__TEACHER": tmp_path / "none.pth"}, f"no checkpoint at {tmp_path}/none.pth; train first"),
        ({"DISTILL__TEACHER": videos}, f"{videos} is no checkpoint; give a file that training or torch.save wrote"),
        (
            {"DISTILL__TEACHER": teacher, "MODEL__NUM_CLASSES": 3},
            "a teacher of 2 classes for the 3 of this run: not of",
        ),
    ):
        result = tool("train_net", "--cfg", config_file, *tiny_run(videos, tmp_path / "run", **keys))
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert message in result.err
        assert not (tmp_path / "run").exists()


def test_a_rate_is_found_with_a_teacher_too(unlabelled, videos, teacher, config_file, tool, tmp_path, monkeypatch):
    monkeypatch.setattr("video_rs.runs.find_lr.growing_rates", lambda: [1e-4, 1e-3, 1e-2])
    keys = without_labels(unlabelled, videos, teacher, tmp_path / "rates")
    result = tool("find_lr", "--cfg", config_file, *keys)
    assert result.code == 0, result.err
    found = json.loads((tmp_path / "rates/lr_finder.json").read_text())
    assert len(found["losses"]) == 3
