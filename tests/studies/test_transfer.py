"""The transfer study on finished runs written by hand: which runs there are, differences, intervals, words, files."""

import csv
import shutil

import numpy as np
import pytest
import torch

from helpers.runs import TINY
from helpers.studies import finish
from video_rs.config import load_config
from video_rs.evaluation.linear_probe import LinearProbe
from video_rs.reports import plots
from video_rs.reports.text_table import text_table
from video_rs.reports.transfer_plot import transfer_plot
from video_rs.runtime.errors import InputError
from video_rs.runtime.file_hash import file_hash
from video_rs.studies.intervals import bootstrap_interval, detectable_difference, mean_interval
from video_rs.studies.one_run import do_run
from video_rs.studies.study import load_study, open_study
from video_rs.studies.transfer.feature_runs import notes_on
from video_rs.studies.transfer.report import HEADS, cells, notes, panel, write_report
from video_rs.studies.transfer.study import TransferRequest, transfer_study
from video_rs.studies.transfer.table import read_transfer
from video_rs.studies.transfer.verdict import verdict

LABELS = ["dark", "dark", "light", "light"]
NO_IMAGE = "timm has no image network like this one: "


@pytest.fixture
def make(trained, videos, tmp_path):
    """``make(sources, protocols, seeds)``: a study on a list of a few videos in three groups that nobody trained on."""
    lines = ["path,label,split,group"]
    for number, (label, group) in enumerate(zip(LABELS, "aabc", strict=True)):
        lines.append(f"{videos.parent}/val/{label}/{number % 2}.mp4,{label},val,{group}")
    for label in ("dark", "light"):
        lines.append(f"{videos.parent}/train/{label}/0.mp4,{label},train,")
    (tmp_path / "new.csv").write_text("\n".join(lines) + "\n")

    def build(sources=("random", "image", f"plain={trained}"), protocols=(), seeds=3, k=1):
        request = TransferRequest(sources, [str(tmp_path / "new.csv")], protocols, seeds, k)
        study, doubts = transfer_study(tmp_path / "study", load_config("", TINY), request, 1)
        assert doubts == []
        return study

    return build


def finish_with(study, right):
    """Finish runs; ``right`` is run -> for each of the four videos, whether it is right."""
    for name, hits in right.items():
        rows = []
        for label, hit in zip(LABELS, hits, strict=True):
            rows.append((0.9, 0.1) if (label == "dark") == bool(hit) else (0.1, 0.9))
        finish(study, name, LABELS, rows)


def test_each_source_has_a_run_for_each_protocol_and_seed(make, trained):
    study = make()
    counts = {row: sum(run.row == row for run in study.runs) for row in study.rows()}
    trained_rows = ("finetune", "last_stages", "linear")
    assert counts == {
        **{f"random.new.{protocol}": 3 for protocol in (*trained_rows, "linear_features", "knn")},
        **{f"plain.new.{protocol}": 3 for protocol in trained_rows},
        # Features of one checkpoint are what they are with every seed.
        "plain.new.linear_features": 1,
        "plain.new.knn": 1,
    }
    assert [run.seed for run in study.runs] == sorted(run.seed for run in study.runs)
    by_name = {run.name: run for run in study.runs}
    frozen = {}
    for protocol in trained_rows:
        run = by_name[f"plain.new.{protocol}-seed1"]
        assert run.keys["MODEL.PRETRAINED"] == str(trained / "checkpoints" / "last.pth")
        frozen[protocol] = run.keys.get("MODEL.FROZEN_STAGES", 0)
        assert "MODEL.PRETRAINED" not in by_name[f"random.new.{protocol}-seed1"].keys
    assert frozen == {"finetune": 0, "last_stages": 3, "linear": 5}
    assert by_name["plain.new.knn-seed0"].work == "knn"
    assert by_name["plain.new.linear_features-seed0"].work == "linear_features"
    assert by_name["plain.new.linear-seed0"].trains
    assert list(study.settings["not_measured"]) == ["image"]
    assert study.settings["not_measured"]["image"].startswith(NO_IMAGE)


def test_a_checkpoint_for_each_seed_gives_each_its_own_start(make, trained):
    checkpoints = [trained / "checkpoints" / name for name in ("last.pth", "best.pth")]
    study = make(("plain=" + ",".join(map(str, checkpoints)),), ("linear", "knn"), seeds=2)
    starts = {run.name: run.keys["MODEL.PRETRAINED"] for run in study.runs}
    assert starts == {
        f"plain.new.{protocol}-seed{seed}": str(checkpoints[seed]) for protocol in ("linear", "knn") for seed in (0, 1)
    }


def test_a_study_is_read_back_with_what_its_runs_do(make):
    study = make()
    study.save()
    assert load_study(study.folder).runs == study.runs


def test_another_k_is_another_study(make):
    make().save()
    with pytest.raises(InputError, match=r"holds another study: its --k is 1, not 2; give the same command"):
        open_study(make(k=2))


@pytest.fixture
def checkpoint(trained, tmp_path):
    """A checkpoint that a test may replace."""
    path = tmp_path / "network.pth"
    shutil.copy(trained / "checkpoints" / "last.pth", path)
    return path


def replace(path):
    """Write other weights of the same network to a path."""
    saved = torch.load(path, weights_only=True)
    saved["ema"] = {name: 2 * value for name, value in saved["ema"].items()}
    torch.save(saved, path)


def test_a_study_keeps_which_files_its_sources_are(make, trained, checkpoint):
    last = trained / "checkpoints" / "last.pth"
    study = make(("random", f"plain={trained}", f"copy={checkpoint}"), ("knn",))
    expected = {"plain": {str(last): file_hash(last)}, "copy": {str(checkpoint): file_hash(last)}}
    assert study.settings["sources"] == expected
    study.save()
    # A command that names one of them leaves the others as they were.
    opened = open_study(make((f"copy={checkpoint}",), ("linear",)))
    assert opened.settings["sources"] == expected


def test_a_source_that_has_been_replaced_is_another_study(make, checkpoint):
    """Even where the command has other protocols than the study: all rows of a source are of the same weights."""
    make((f"plain={checkpoint}",), ("knn",), seeds=1).save()
    before = file_hash(checkpoint)
    replace(checkpoint)
    now = file_hash(checkpoint)
    said = (
        f"holds another study: {checkpoint} of its --source plain was another file \\(sha256 {before[:12]}, now "
        f"{now[:12]}\\); give the same command"
    )
    for protocols in (("knn", "finetune"), ("finetune",)):
        with pytest.raises(InputError, match=said):
            open_study(make((f"plain={checkpoint}",), protocols, seeds=1))


def test_another_path_under_the_name_of_a_source_is_another_study(make, trained, checkpoint):
    make((f"plain={checkpoint}",), ("knn",), seeds=1).save()
    last = trained / "checkpoints" / "last.pth"
    with pytest.raises(InputError, match=f"its --source plain is {checkpoint}, not {last}; give the same command"):
        open_study(make((f"plain={last}",), ("finetune",), seeds=1))


def test_further_seeds_may_bring_further_checkpoints(make, trained, checkpoint):
    best = trained / "checkpoints" / "best.pth"
    make((f"plain={checkpoint}",), ("knn",), seeds=1).save()
    opened = open_study(make((f"plain={checkpoint},{best}",), ("knn",), seeds=2))
    assert list(opened.settings["sources"]["plain"]) == [str(checkpoint), str(best)]
    assert len(opened.runs) == 2


@pytest.mark.parametrize("protocol", ["finetune", "knn"])
def test_a_run_does_not_start_from_a_file_that_was_replaced_since(make, checkpoint, protocol):
    study = make((f"plain={checkpoint}",), (protocol,), seeds=1)
    study.save()
    replace(checkpoint)
    said = f"^{checkpoint} is another file than --source plain was when the study was made; put that one back"
    with pytest.raises(InputError, match=said):
        do_run(load_study(study.folder), f"plain.new.{protocol}-seed0")
    assert not (study.folder / "features").exists()


def test_the_notes_on_a_linear_classifier_say_which_fits_had_not_converged():
    right = {1.0: 0.5, 100.0: 0.75}
    assert notes_on(LinearProbe(None, 100.0, 5, right, (10.0, 100.0))) == [
        "logistic regression on standardised features, C 100, chosen by 5 folds of the training videos: 75.0 % of them "
        "right where held out",
        "no C beyond 100 was tried",
        "fits with C 10, 100 had not converged after 2,000 iterations, and were taken as they were",
    ]
    assert notes_on(LinearProbe(None, 1.0, 0, {}, (1.0,))) == [
        "logistic regression on standardised features, C 1: the training videos are too few to choose it",
        "fits with C 1 had not converged after 2,000 iterations, and were taken as they were",
    ]
    assert len(notes_on(LinearProbe(None, 1.0, 5, right))) == 1


RIGHT = {
    "random.new.finetune-seed0": (1, 0, 0, 0),
    "random.new.finetune-seed1": (1, 1, 0, 0),
    "random.new.finetune-seed2": (0, 0, 0, 1),
    "plain.new.finetune-seed0": (1, 1, 1, 1),
    "plain.new.finetune-seed1": (1, 1, 1, 1),
    "plain.new.finetune-seed2": (1, 1, 1, 1),
    "random.new.knn-seed0": (1, 0, 0, 0),
    "random.new.knn-seed1": (1, 1, 0, 0),
    "plain.new.knn-seed0": (0, 1, 1, 1),
}


@pytest.fixture
def finished(make):
    study = make(protocols=("finetune", "knn"))
    study.save()
    finish_with(study, RIGHT)
    return study


def by_row(table):
    return {row.place.row: row for row in table.rows}


def test_each_source_is_compared_with_random_weights_seed_by_seed(finished):
    table = read_transfer(finished, {})
    row = by_row(table)["plain.new.finetune"]
    assert row.by_seed == (0.75, 0.5, 0.75)
    assert row.difference == mean_interval([0.75, 0.5, 0.75])
    random = np.array([RIGHT[f"random.new.finetune-seed{seed}"] for seed in range(3)])
    assert row.over_videos == bootstrap_interval(1.0 - random, ["a", "a", "b", "c"])
    assert (row.mean, row.spread, row.runs) == (1.0, 0.0, 3)
    assert by_row(table)["random.new.finetune"].by_seed == ()
    expected = mean_interval([0.25, 0.5, 0.25])
    # Student's begins below 0, where no accuracy is; that of two seeds is everything.
    assert expected.low < 0
    assert by_row(table)["random.new.finetune"].interval == expected._replace(low=0.0)
    assert by_row(table)["random.new.knn"].interval == (0.375, 0.0, 1.0)
    assert table.detectable["new"] == detectable_difference([(0.75, 0.5, 0.75), (0.5, 0.25)])
    facts = table.targets["new"]
    assert (facts.videos, facts.groups, facts.chance) == (4, 3, 0.5)


def test_the_one_answer_of_a_checkpoint_is_compared_with_every_seed_of_random_weights(finished):
    table = read_transfer(finished, {})
    row = by_row(table)["plain.new.knn"]
    assert row.is_one_answer
    assert (row.runs, row.top1, row.by_seed) == (1, {0: 0.75}, (0.5, 0.25))
    assert not by_row(table)["random.new.knn"].is_one_answer
    assert cells(row)[3:6] == ["1*", "75.0", ""]


def test_rows_that_are_not_finished_failed_or_cannot_be_measured_are_listed(finished):
    table = read_transfer(finished, {"random.new.knn-seed2": "exit code 1: no room"})
    assert [row.place.row for row in table.rows] == [
        f"{source}.new.{protocol}" for protocol in ("finetune", "knn") for source in ("random", "plain", "image")
    ]
    assert cells(by_row(table)["random.new.knn"])[3] == "2 of 3"
    assert cells(by_row(table)["image.new.knn"]) == ["image", "new", "k-NN", "0", "not measured", "", "", "", ""]
    said = verdict(table)
    assert said[-2].startswith(f"Not, or not wholly, measured: image on new: {NO_IMAGE}")
    assert said[-1] == "Not, or not wholly, measured: random on new: random.new.knn-seed2 failed: exit code 1: no room."
    # Without a failure just now, there is still something to be done.
    assert verdict(read_transfer(finished, {}))[-1] == (
        "Not, or not wholly, measured: random on new: not all of its runs are finished."
    )


def test_the_verdict_says_which_differences_are_outside_their_intervals(finished):
    table = read_transfer(finished, {})
    low, high = (100 * value for value in mean_interval([0.75, 0.5, 0.75])[1:])
    points = 100 * table.detectable["new"]
    assert verdict(table)[0] == (
        "On new (4 videos of 3 groups, chance 50.0), against random weights, these differences of top-1 are outside "
        f"the interval over seeds. Better: plain with fine-tuning +66.7 ({low:+.1f} to {high:+.1f}). Worse: none. "
        f"A true difference of {points:.1f} points is found in four of five cases; smaller ones mostly not."
    )
    over_videos = by_row(table)["plain.new.finetune"].over_videos
    names = "plain with fine-tuning is" if over_videos.excludes_zero else "none are"
    assert verdict(table)[1] == (
        f"Of these, {names} outside the interval over other groups of videos, too; what is not is known of these 4 "
        "videos alone."
    )


def test_a_source_may_be_worse(make):
    study = make(("random", *make_names(make)), ("finetune",), seeds=2)
    study.save()
    finish_with(study, {f"random.new.finetune-seed{seed}": (1, 1, 1, seed) for seed in (0, 1)})
    finish_with(study, {f"plain.new.finetune-seed{seed}": (0, 0, 0, seed) for seed in (0, 1)})
    said = verdict(read_transfer(study, {}))
    assert said == [
        "On new (4 videos of 3 groups, chance 50.0), against random weights, these differences of top-1 are outside "
        "the interval over seeds. Better: none. Worse: none. Each difference is the same with every seed, which shows "
        "no spread, and so no interval."
    ]
    row = by_row(read_transfer(study, {}))["plain.new.finetune"]
    assert cells(row)[7] == "-75.0 (every seed)"


def make_names(make):
    """The trained source alone."""
    keys = next(run.keys for run in make(protocols=("linear",), seeds=1).runs if run.row.startswith("plain"))
    return [f"plain={keys['MODEL.PRETRAINED']}"]


def test_one_seed_has_no_interval_and_no_random_source_no_difference(make):
    study = make(("random", *make_names(make)), ("finetune",), seeds=1)
    study.save()
    finish_with(study, {"random.new.finetune-seed0": (1, 0, 0, 0), "plain.new.finetune-seed0": (1, 1, 0, 0)})
    table = read_transfer(study, {})
    assert verdict(table) == [
        "On new (4 videos of 3 groups): no row has two seeds that random has, too; there are no intervals yet."
    ]
    assert cells(by_row(table)["plain.new.finetune"])[3:] == ["1", "50.0", "", "", "+25.0", ""]

    alone = make(make_names(make), ("finetune",), seeds=1)
    finish_with(alone, {"plain.new.finetune-seed0": (1, 1, 0, 0)})
    assert verdict(read_transfer(alone, {})) == [
        "The source random is not among these: nothing is compared with a start from fresh weights."
    ]


def test_the_report_leaves_a_table_a_chart_and_a_page(finished):
    failed = {"random.new.knn-seed2": "exit code 1: no room"}
    lines = write_report(finished, failed)
    table = read_transfer(finished, failed)
    printed = text_table(HEADS, [cells(row) for row in table.rows])
    assert lines == [printed, *verdict(table), f"report: {finished.folder}/report.html"]
    with (finished.folder / "table.csv").open(newline="") as file:
        rows = {(row["source"], row["protocol"]): row for row in csv.DictReader(file)}
    tuned = rows["plain", "finetune"]
    measured = by_row(table)["plain.new.finetune"]
    assert (float(tuned["top1"]), float(tuned["chance"]), tuned["pairs"]) == (1.0, 0.5, "3")
    assert float(tuned["minus_random_low"]) == measured.difference.low
    assert float(tuned["minus_random_high_over_videos"]) == measured.over_videos.high
    assert (rows["random", "knn"]["finished"], rows["random", "knn"]["runs"]) == ("2", "3")
    image = rows["image", "knn"]
    assert (image["top1"], image["minus_random"], image["reason"].startswith(NO_IMAGE)) == ("", "", True)
    assert (finished.folder / "transfer.png").read_bytes().startswith(b"\x89PNG")
    page = (finished.folder / "report.html").read_text()
    for text in ("8 of 9 runs are finished", "100.0 ± 0.0", "not measured", "exit code 1: no room", notes(table)[-1]):
        assert text.replace("8 of 9", "9 of 10") in page
    assert page.count("<img") == 1


def test_the_notes_count_the_comparisons(finished):
    # 1 - 0.95^2.
    assert notes(read_transfer(finished, {}))[-1] == (
        "The intervals are of one comparison each: of 2 rows without any effect, at least one shows one in about 10 of "
        "100 studies."
    )


def test_every_seed_is_a_dot_and_every_source_has_its_colour(finished):
    drawn = panel(read_transfer(finished, {}), "new")
    figure = transfer_plot([drawn, drawn._replace(title="a$b$_{c", chance=10.0)])
    assert plots.png(figure, crop=True).startswith(b"\x89PNG")
    left, right = figure.axes
    assert left.get_title() == "new: 4 videos of 3 groups"
    assert right.get_title() == "a$b$_{c"
    assert [text.get_text() for text in left.get_yticklabels()] == ["fine-tuning", "k-NN"]
    dots = [sorted(line.get_xdata()) for line in left.lines if line.get_marker() in ("o", "s")]
    assert [25.0, 25.0, 50.0] in [list(values) for values in dots]
    assert [text.get_text() for text in left.texts] == ["not measured"] * 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["random", "plain", "image"]
