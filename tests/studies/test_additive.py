"""The additive study on finished runs written by hand: differences, intervals, words, files."""

import csv
import dataclasses
import math
import re

import numpy as np
import pytest

from helpers.studies import finish
from video_rs.reports.text_table import text_table
from video_rs.runtime.errors import InputError
from video_rs.studies.additive import STEPS, Ladder, Seeds, additive_study, read_table
from video_rs.studies.additive_report import HEADS, cells, notes, write_report
from video_rs.studies.additive_verdict import verdict
from video_rs.studies.intervals import Interval, bootstrap_interval, mean_interval
from video_rs.studies.results import SMALLEST, read_result
from video_rs.studies.study import open_study
from video_rs.studies.study_lists import StudyLists

LABELS = ["dark", "dark", "light", "light"]
GROUPS = ["a", "a", "b", "c"]
ROWS = ("00_r3d50", "01_dropout", "02_label_smoothing")


@pytest.fixture
def study(videos, tmp_path):
    """Three rows of the small ladder with two seeds, tested on four videos of three groups."""
    lines = ["path,label,split,group"]
    for number, (label, group) in enumerate(zip(LABELS, GROUPS, strict=True)):
        lines.append(f"{videos.parent}/val/{label}/{number % 2}.mp4,{label},val,{group}")
    for label in ("dark", "light"):
        lines.append(f"{videos.parent}/train/{label}/0.mp4,{label},train,")
    path = tmp_path / "list.csv"
    path.write_text("\n".join(lines) + "\n")
    overrides = {"DATA.TRAIN_LIST": str(path), "DATA.VAL_LIST": str(path)}
    study = additive_study(tmp_path / "study", Ladder("small", ROWS, overrides), Seeds(2, 3), 1)
    study.save()
    return study


def sure(*p):
    """Probabilities of the true class of each video, as rows of (dark, light)."""
    return [
        (value, 1 - value) if label == "dark" else (1 - value, value) for value, label in zip(p, LABELS, strict=True)
    ]


# What each run is sure of, by row and seed.
SURE = {
    ("00_r3d50", 0): (0.6, 0.4, 0.4, 0.7),
    ("00_r3d50", 1): (0.7, 0.6, 0.4, 0.4),
    ("00_r3d50", 2): (0.4, 0.4, 0.4, 0.9),
    ("01_dropout", 0): (0.8, 0.6, 0.6, 0.4),
    ("01_dropout", 1): (0.8, 0.7, 0.6, 0.8),
    ("02_label_smoothing", 0): (0.9, 0.9, 0.8, 0.9),
    ("02_label_smoothing", 1): (0.9, 0.8, 0.4, 0.9),
    ("02_label_smoothing", 2): (0.9, 0.8, 0.7, 0.9),
}


@pytest.fixture
def finished(study):
    for (row, seed), values in SURE.items():
        finish(study, f"{row}-seed{seed}", LABELS, sure(*values))
    return study


def test_the_ends_have_more_seeds(study):
    counts = {row: sum(run.row == row for run in study.runs) for row in ROWS}
    assert counts == {"00_r3d50": 3, "01_dropout": 2, "02_label_smoothing": 3}
    assert study.settings == {"ladder": "small", "rows": list(STEPS)}


def test_rows_are_in_the_order_of_the_ladder_however_they_are_typed(tmp_path):
    ladder = Ladder("small", (ROWS[1], ROWS[2], ROWS[0], ROWS[1]))
    study = additive_study(tmp_path, ladder, Seeds(1, 2), 1)
    assert study.rows() == list(ROWS)
    # The first and the last of the ladder have the seeds of the ends.
    assert [run.name for run in study.runs[3:]] == [f"{ROWS[0]}-seed1", f"{ROWS[2]}-seed1"]


def test_another_ladder_in_the_folder_is_refused(study, tmp_path):
    (tmp_path / "ladder").mkdir()
    (tmp_path / "ladder" / "a.yaml").write_text("MODEL:\n  ARCH: r3d_rs_tiny\n")
    other = additive_study(study.folder, Ladder(str(tmp_path / "ladder")), Seeds(1, 1), 1)
    with pytest.raises(InputError, match=rf"holds another study: its --ladder is small, not {tmp_path}/ladder; give"):
        open_study(other)


def test_a_result_has_the_loss_of_each_video(finished):
    run = finished.run("01_dropout-seed0")
    result = read_result(finished, run, StudyLists(finished).of(run))
    assert result.log_losses == pytest.approx(-np.log([0.8, 0.6, 0.6, 0.4]))
    assert result.right.tolist() == [1, 1, 1, 0]
    assert (result.top1, result.seconds) == (0.75, 10.0)


def test_a_failed_video_has_no_loss_and_an_impossible_one_the_largest(study):
    run = study.run("00_r3d50-seed0")
    finish(study, run.name, [None, *LABELS[1:]], [(0, 0), *sure(0.5, 0.0, 0.9, 0.9)[1:]])
    result = read_result(study, run, StudyLists(study).of(run))
    assert math.isnan(result.log_losses[0])
    assert result.log_losses[1] == pytest.approx(-math.log(SMALLEST))
    assert result.log_loss == pytest.approx(np.mean([-math.log(SMALLEST), -math.log(0.9), -math.log(0.9)]))


def test_a_run_of_another_list_is_refused(study):
    run = study.run("00_r3d50-seed0")
    finish(study, run.name, LABELS[:3], sure(0.5, 0.5, 0.5, 0.5)[:3])
    said = r"was tested on 3 videos, and the list has 4 now; take the list of before, or start in another folder"
    with pytest.raises(InputError, match=said):
        read_result(study, run, StudyLists(study).of(run))


def test_a_run_of_a_list_in_another_order_is_refused(study):
    """As many videos as before, whose classes and groups are those of others now."""
    run = study.run("00_r3d50-seed0")
    finish(study, run.name, LABELS[::-1], sure(0.5, 0.5, 0.5, 0.5))
    said = (
        r"was tested on a video of 'light' where the list has .*val/dark/0\.mp4 of 'dark' now; take the list of "
        r"before, or start in another folder"
    )
    with pytest.raises(InputError, match=said):
        read_result(study, run, StudyLists(study).of(run))


def test_a_run_without_its_files_is_refused(study):
    run = study.run("00_r3d50-seed0")
    with pytest.raises(InputError, match=r"cannot read the results of .*; remove the folder to have it done anew"):
        read_result(study, run, StudyLists(study).of(run))


def top1(row, seed):
    return np.mean(np.array(SURE[row, seed]) > 0.5)


def test_each_row_is_compared_with_the_one_before_seed_by_seed(finished):
    table = read_table(finished)
    first, second, third = table.rows
    assert [row.name for row in table.rows] == list(ROWS)
    assert first.step is None
    by_seed = [top1("01_dropout", seed) - top1("00_r3d50", seed) for seed in (0, 1)]
    assert second.step_by_seed == pytest.approx(by_seed)
    assert second.step == pytest.approx(mean_interval(by_seed))
    assert second.top1 == {seed: top1("01_dropout", seed) for seed in (0, 1)}
    assert (third.published.published, third.published.is_remembered) == (74.9, True)

    losses = np.stack([np.log(SURE["00_r3d50", seed]) - np.log(SURE["01_dropout", seed]) for seed in (0, 1)])
    assert second.loss_step == pytest.approx(bootstrap_interval(losses, GROUPS))
    whole = [top1("02_label_smoothing", seed) - top1("00_r3d50", seed) for seed in (0, 1, 2)]
    assert table.whole == pytest.approx(mean_interval(whole))
    assert (table.videos, table.groups) == (4, 3)


def test_rows_without_finished_runs_are_left_out_and_the_next_is_compared_with_what_is_there(study):
    for row in ("00_r3d50", "02_label_smoothing"):
        finish(study, f"{row}-seed0", LABELS, sure(*SURE[row, 0]))
    table = read_table(study)
    assert [row.name for row in table.rows] == ["00_r3d50", "02_label_smoothing"]
    # A row two steps above is no row before: there is no step to measure.
    assert table.rows[1].step_by_seed == ()
    assert verdict(table) == [
        "No row has two seeds that the row before has, too: there is nothing to say about single steps yet."
    ]


def with_top1(study, right):
    """Finish seeds 0 and 1 of rows; ``right`` is row -> how many of the four videos each seed has right."""
    for row, counts in right.items():
        for seed, count in enumerate(counts):
            finish(study, f"{row}-seed{seed}", LABELS, sure(*(0.9 if i < count else 0.2 for i in range(4))))
    return read_table(study)


def test_a_step_that_is_the_same_with_every_seed_has_no_interval(study):
    """Two seeds and one difference: they show no spread, and Student's interval of nothing is not zero."""
    table = with_top1(study, {ROWS[0]: (1, 2), ROWS[1]: (2, 3)})
    step = table.rows[1].step
    assert (step.mean, step.has_width, step.excludes_zero) == (0.25, False, False)
    assert cells(table.rows[1])[5] == "+25.0 (every seed)"
    sentences = verdict(table)
    assert sentences[0] == (
        "Each step of top-1 is the same with every seed: that shows no spread, without which no interval can be given; "
        "the test is too small, or the training too short. It tests 4 videos of 3 groups."
    )
    assert sentences[1].endswith("Better with: none. Worse with: none.")
    assert sentences[2].startswith("By the cross-entropy, ")
    # Differences of rounded numbers are the same, too: 0.75 - 0.5 and 1 - 0.75 are; a tenth would not be.
    assert not Interval(0.1, 0.1 - 1e-17, 0.1 + 1e-17).excludes_zero


def test_the_whole_may_be_the_same_with_every_seed(study):
    table = with_top1(study, {ROWS[0]: (1, 1), ROWS[1]: (2, 3), ROWS[2]: (3, 3)})
    assert verdict(table)[-1].startswith(
        "From the first row to the last: top-1 +50.0 points (the same with every seed); cross-entropy -"
    )


def test_a_difference_that_there_cannot_be_is_not_one_that_the_study_finds(study):
    sentences = verdict(with_top1(study, {ROWS[0]: (0, 4), ROWS[1]: (4, 0)}))
    assert re.match(
        r"From one row to the next, a true difference would have to be of \d{4}\.\d points of top-1 to be found in "
        r"four of five cases, and there is none so large: by top-1, this study cannot tell rows apart\. Give it more "
        r"--seeds\. It tests 4 videos of 3 groups\.$",
        sentences[0],
    )


def test_where_rows_are_left_out_a_step_is_several(study):
    """Row 9 after row 0 is the whole recipe, and not the last step of it."""
    lists = {key: study.runs[0].keys[key] for key in ("DATA.TRAIN_LIST", "DATA.VAL_LIST")}
    ladder = Ladder("small", ("00_r3d50", "09_resnet_d"), lists)
    ends = additive_study(study.folder.with_name("ends"), ladder, Seeds(2, 2), 1)
    for row, values in (("00_r3d50", (0.4, 0.4, 0.41, 0.42)), ("09_resnet_d", (0.9, 0.9, 0.91, 0.9))):
        for seed in (0, 1):
            finish(ends, f"{row}-seed{seed}", LABELS, sure(*(value - 0.01 * seed for value in values)))
    table = read_table(ends)
    assert [row.title for row in table.rows] == ["3D ResNet-50", "+ ResNet-D stem, and 8 steps before it"]
    assert "Better with: ResNet-D stem, and 8 steps before it. Worse with: none." in verdict(table)[2]
    # A study that starts further up has no step there.
    late = additive_study(study.folder.with_name("late"), Ladder("small", ROWS[1:], lists), Seeds(1, 1), 1)
    for row in ROWS[1:]:
        finish(late, f"{row}-seed0", LABELS, sure(0.6, 0.6, 0.6, 0.6))
    assert [row.title for row in read_table(late).rows] == ["+ dropout before the classifier", "+ label smoothing"]


def test_the_notes_count_the_steps(finished):
    table = read_table(finished)
    # 1 - 0.95^2.
    assert notes(table)[-1] == (
        "The intervals are of one comparison each: of 2 steps without any effect, at least one shows one in about 10 "
        "of 100 studies."
    )
    assert not any("one comparison each" in note for note in notes(dataclasses.replace(table, rows=table.rows[:2])))


def test_the_verdict_says_what_could_be_seen_first(finished):
    table = dataclasses.replace(read_table(finished), detectable=0.234)
    sentences = verdict(table)
    points = 23.4
    assert sentences[0] == (
        f"From one row to the next, this study finds a true difference of {points:.1f} points of top-1 in four of five "
        "cases; smaller ones it mostly misses. It tests 4 videos of 3 groups."
    )
    assert sentences[1] == (
        "By top-1, the intervals of these steps are clear of zero. Better with: none. Worse with: none."
    )
    assert sentences[2].startswith(
        "By the cross-entropy, the intervals of these steps are clear of zero. Better with: "
    )
    assert re.fullmatch(
        r"From the first row to the last: top-1 \+\d+\.\d points \([+-]\d+\.\d to \+\d+\.\d\); "
        r"cross-entropy -\d\.\d{3} nats \(-\d\.\d{3} to [+-]\d\.\d{3}\)\.",
        sentences[3],
    )


def test_the_report_leaves_a_table_a_chart_and_a_page(finished):
    lines = write_report(finished, {"01_dropout-seed1": "exit code 1: it printed nothing"})
    table = read_table(finished)
    printed = text_table(HEADS, [cells(row) for row in table.rows])
    assert lines == [printed, *verdict(table), f"report: {finished.folder}/report.html"]
    with (finished.folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == list(ROWS)
    assert float(rows[1]["top1"]) == table.rows[1].mean
    assert float(rows[1]["step_low"]) == table.rows[1].step.low
    assert rows[0]["step"] == ""
    assert [(row["published_top1"], row["published_source"]) for row in rows[:2]] == [
        ("73.4", "as a published review of the paper has it"),
        ("74.4", "from memory, not read off the paper"),
    ]
    assert (finished.folder / "additive.png").read_bytes().startswith(b"\x89PNG")
    page = (finished.folder / "report.html").read_text()
    for text in (*verdict(table), "8 of 8 runs are finished", "exit code 1: it printed nothing", "+ label smoothing"):
        assert text.replace("+", "+") in page
    assert page.count("<img") == 1


@pytest.mark.parametrize(
    ("ladder", "said"),
    [
        (
            Ladder("kinetic"),
            r"no ladder 'kinetic'; allowed: kinetics, small, or a folder of one \.yaml file a row",
        ),
        (Ladder("small", ("01_dropouts",)), r"the ladder has no row '01_dropouts'; did you mean '01_dropout'\?"),
        (Ladder("small", ("x",)), r"the ladder has no row 'x'; it has 00_r3d50, .*09_resnet_d"),
    ],
)
def test_an_unknown_ladder_or_row_is_refused(tmp_path, ladder, said):
    with pytest.raises(InputError, match=said):
        additive_study(tmp_path, ladder, Seeds(1, 1), 1)


def test_a_ladder_of_ones_own(tmp_path):
    (tmp_path / "a.yaml").write_text("MODEL:\n  ARCH: r3d_rs_tiny\n")
    (tmp_path / "b.yaml").write_text("_BASE_: a.yaml\nMODEL:\n  DROPOUT: 0.1\n")
    study = additive_study(tmp_path / "out", Ladder(str(tmp_path)), Seeds(1, 1), 1)
    assert [(run.row, run.keys.get("MODEL.DROPOUT")) for run in study.runs] == [("a", None), ("b", 0.1)]
