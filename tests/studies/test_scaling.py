"""The scaling study: its grid, what it reads of finished runs, what it says, and the whole of it once."""

import csv
import json
import math

import pytest

from helpers.runs import tiny_run
from helpers.scaling import VIDEOS, base_config, finish_all, of_compute, study_of
from helpers.studies import run_here
from video_rs.benchmarks.networks import make_network
from video_rs.models.table import gmac, parameters
from video_rs.runtime.errors import InputError
from video_rs.studies import latency, running
from video_rs.studies.latency import FILE, key, measured_latencies, subject_of
from video_rs.studies.probing import Speed
from video_rs.studies.scaling import Grid, config_at, grid_from_text, point_of, refuse_axis_keys, scaling_study
from video_rs.studies.scaling_report import COLUMNS, write_report
from video_rs.studies.scaling_results import read_results
from video_rs.studies.scaling_verdict import fits_of, verdict
from video_rs.studies.study import load_study, open_study

AXES = ("depths", "widths", "sizes", "frames", "epochs")


# -- The grid.


def test_a_grid_is_read_as_typed():
    grid = grid_from_text({"depths": "50,2-2-2-2", "widths": "0.5,1", "sizes": "32, 64", "frames": "", "epochs": "5"})
    assert grid == Grid(("50", "2-2-2-2"), (0.5, 1.0), (32, 64), (), (5,))


@pytest.mark.parametrize(
    ("axis", "text", "message"),
    [
        ("widths", "0.5,x", "--widths 0.5,x: cannot take 'x'; give numbers above 0 with commas between them"),
        ("widths", "0", "--widths 0: cannot take '0'; give numbers above 0 with commas between them"),
        ("widths", "inf", "--widths inf: cannot take 'inf'; give numbers above 0 with commas between them"),
        (
            "sizes",
            ",",
            "--sizes ,: cannot take ''; give pixels, whole numbers from 1 to 9999, with commas between them",
        ),
        (
            "sizes",
            "10000",
            "--sizes 10000: cannot take '10000'; give pixels, whole numbers from 1 to 9999, with commas between them",
        ),
        ("frames", "4.5", "--frames 4.5: cannot take '4.5'; give whole numbers above 0 with commas between them"),
        (
            "depths",
            "2-2-2-",
            "--depths 2-2-2-: cannot take '2-2-2-'; give published depths, such as 50, or blocks of each stage, such "
            "as 2-2-2-2, with commas between them",
        ),
        ("frames", "4,8,4", "--frames 4,8,4: 4 is there twice; give each value once"),
        ("widths", "0.5,.5", "--widths 0.5,.5: .5 is there twice; give each value once"),
    ],
)
def test_values_that_are_none_are_refused(axis, text, message):
    with pytest.raises(InputError) as caught:
        grid_from_text({axis: text})
    assert str(caught.value) == message


def test_an_empty_grid_is_refused(tool, tmp_path):
    done = tool("scaling_study", "--cfg", "small_scratch.yaml", "--out", tmp_path / "study")
    assert done.code == 2
    assert done.err == (
        "error: the grid is empty: give values of at least one of --depths, --widths, --sizes, --frames, --epochs, "
        "such as --widths 0.5,1\n"
    )
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("arch", "depths", "message"),
    [
        (
            "r3d_rs_50",
            "51",
            "--depths 51: there is no r3d_rs_51; r3d_rs_* has 50, 101, 152, 200, 270, 300, 350; or give blocks of each "
            "stage, such as 2-2-2-2",
        ),
        (
            "r3d_rs_tiny",
            "50",
            "--depths 50: the name of MODEL.ARCH r3d_rs_tiny has no depth to replace; give blocks of each stage, such "
            "as 2-2-2-2",
        ),
        ("r3d_rs_50", "50,3-4-6-3", "--depths: 3-4-6-3 is the network of 50 once more; give each depth once"),
        ("r3d_rs_50", "2-2-2", "architecture field 'depths' is (2, 2, 2); allowed: one entry for each of 4 stages"),
    ],
)
def test_an_unknown_depth_is_refused(tmp_path, arch, depths, message):
    base = base_config(tmp_path, MODEL__ARCH=arch)
    with pytest.raises(InputError) as caught:
        scaling_study(tmp_path, base, grid_from_text({"depths": depths}), 1, 1)
    assert str(caught.value) == message


def test_an_unknown_measure_is_refused(tmp_path):
    with pytest.raises(InputError, match="--measure loss: allowed are error, cross_entropy"):
        scaling_study(tmp_path, base_config(tmp_path), Grid(widths=(1.0,)), 1, 1, "loss")


def test_a_base_of_so_many_steps_has_no_epochs_to_be_named_by(tmp_path):
    base = base_config(tmp_path, SOLVER__MAX_STEPS=7)
    with pytest.raises(InputError) as caught:
        scaling_study(tmp_path, base, Grid(widths=(1.0,)), 1, 1)
    assert str(caught.value) == (
        "SOLVER.MAX_STEPS is 7 and overrides the epochs, by which points of the grid are named and compared; give "
        "--epochs, or set it to 0"
    )
    [run] = scaling_study(tmp_path, base, Grid(epochs=(3,)), 1, 1).runs
    assert run.row.endswith("_e3")


def test_a_pair_that_an_axis_sets_is_refused():
    refuse_axis_keys(Grid(widths=(1.0,)), ["DATA.NUM_FRAMES", "4"])
    with pytest.raises(InputError, match=r"DATA\.NUM_FRAMES is set by --frames in each run; leave one of the two away"):
        refuse_axis_keys(Grid(frames=(4,)), ["SOLVER.BASE_LR", "1", "DATA.NUM_FRAMES", "4"])


def test_rows_say_where_they_are(tmp_path):
    study = study_of(tmp_path, 2, depths="1-1-1-1,2-2-2-2", widths="0.5", sizes="64", frames="8", epochs="20")
    assert study.rows() == ["d1-1-1-1_w0.5_s64_f8_e20", "d2-2-2-2_w0.5_s64_f8_e20"]
    assert [run.seed for run in study.runs] == [0, 0, 1, 1]
    assert (study.kind, study.settings) == ("scaling", {"measure": "error"})
    for run in study.runs:
        assert point_of(study.config(run)).name == run.row


def test_an_axis_that_is_not_given_stays_as_in_the_base(tmp_path):
    base = base_config(tmp_path)
    study = study_of(tmp_path, widths="0.25,0.5")
    assert study.rows() == ["d1-1-1-1_w0.25_s32_f4_e350", "d1-1-1-1_w0.5_s32_f4_e350"]
    # The base's own value is the base.
    same = config_at(base, {"widths": 0.25, "sizes": 32, "frames": 4, "epochs": 350}).flat()
    assert {key for key, value in same.items() if value != base.flat()[key]} == {"MODEL.WIDTH"}


def test_a_published_depth_is_another_network_of_the_zoo(tmp_path):
    base = base_config(tmp_path, MODEL__ARCH="r3d_rs_50", MODEL__DEPTHS=[1, 1, 1, 1])
    config = config_at(base, {"depths": "101"})
    assert (config.MODEL.ARCH, config.MODEL.DEPTHS) == ("r3d_rs_101", None)
    assert point_of(config).depth == "101"
    assert point_of(base).depth == "1-1-1-1"


def test_a_size_takes_all_sides_with_it(tmp_path):
    """As published, the test crop is larger than the training crop: 256 to 224."""
    base = base_config(tmp_path, DATA__TRAIN_CROP_SIZE=224, DATA__TEST_CROP_SIZE=256, DATA__TEST_SHORT_SIDE=256)
    data = config_at(base, {"sizes": 112}).DATA
    assert (data.TRAIN_CROP_SIZE, data.TEST_CROP_SIZE, data.TEST_SHORT_SIDE) == (112, 128, 128)
    assert data.TRAIN_JITTER_SCALES == (128, 160)
    # Whatever the size, no crop is larger than the frame that it is taken from.
    for size in range(1, 400):
        data = config_at(base, {"sizes": size}).DATA
        assert data.TEST_SHORT_SIDE >= data.TEST_CROP_SIZE
        assert data.TRAIN_JITTER_SCALES[0] >= data.TRAIN_CROP_SIZE


def test_epochs_stretch_the_warm_up(tmp_path):
    solver = config_at(base_config(tmp_path, SOLVER__MAX_STEPS=7), {"epochs": 35}).SOLVER
    assert (solver.MAX_EPOCH, solver.WARMUP_EPOCHS, solver.MAX_STEPS) == (35, 0.5, 0)


def test_a_study_takes_further_values(tmp_path):
    before = study_of(tmp_path, widths="0.25")
    grid = grid_from_text({"widths": "0.25,0.5", "frames": "4,8"})
    study = open_study(scaling_study(before.folder, base_config(tmp_path), grid, 1, 1))
    assert len(study.runs) == 4
    assert study.runs[0] == before.runs[0]


# -- Latency.


def test_latencies_are_measured_once_and_kept(tmp_path, fake):
    study = study_of(tmp_path, widths="0.25,0.5", frames="4,8", epochs="5,20")
    configs = {run.row: study.config(run) for run in study.runs}
    found = measured_latencies(study.folder, configs, print)
    # Training changes no latency: four networks and clips for eight rows.
    assert [len(group) for group in fake.groups] == [4]
    assert {row: round(each.milliseconds, 6) for row, each in found.rows.items()} == {
        run.row: float(study.config(run).DATA.NUM_FRAMES) for run in study.runs
    }
    kept = json.loads((study.folder / FILE).read_text())
    assert (kept["batch"], kept["precision"], len(kept["rows"])) == (1, "float32", 4)
    assert kept["machine"]["cores"] == found.machine["cores"]

    again = measured_latencies(study.folder, configs, print)
    assert again.rows == found.rows
    assert len(fake.groups) == 1


def test_latencies_of_another_machine_are_measured_anew(tmp_path, fake):
    study = study_of(tmp_path, widths="0.25")
    configs = {run.row: study.config(run) for run in study.runs}
    measured_latencies(study.folder, configs, print)
    kept = json.loads((study.folder / FILE).read_text())
    kept["machine"]["processor"] = "another"
    (study.folder / FILE).write_text(json.dumps(kept))
    measured_latencies(study.folder, configs, print)
    (study.folder / FILE).write_text("{")
    measured_latencies(study.folder, configs, print)
    assert len(fake.groups) == 3


def test_a_network_that_cannot_be_measured_is_said(tmp_path, fake, monkeypatch):
    study = study_of(tmp_path, widths="0.25,0.5")

    def refuse(subjects, rounds, report):
        raise InputError("no memory")

    monkeypatch.setattr(latency, "measure", refuse)
    finish_all(study, of_compute())
    results = read_results(study)
    assert (dict(results.latencies.rows), results.latencies.trouble) == ({}, "no memory")
    assert "Some latencies are not known: no memory." in verdict(results, fits_of(results))


def test_a_busy_machine_is_said(tmp_path, fake):
    study = study_of(tmp_path, widths="0.25,0.5")
    finish_all(study, of_compute())
    read_results(study)
    kept = json.loads((study.folder / FILE).read_text())
    kept["rows"][0]["spread"] = 0.5
    (study.folder / FILE).write_text(json.dumps(kept))
    results = read_results(study)
    assert verdict(results, fits_of(results))[-1] == (
        "The latencies of 1 of 2 rows spread by more than 20 %: the machine was busy. Remove latency.json and give the "
        "command again on a quiet one."
    )


def test_the_benchmark_builds_the_network_of_the_run(tmp_path):
    config = config_at(base_config(tmp_path), {"depths": "2-1-2-1", "widths": 0.5, "frames": 8})
    subject = subject_of(config)
    assert (subject.batch, subject.frames, subject.size, subject.network) == (1, 8, 32, "r3d_rs_tiny")
    # As the process of the benchmark gets it.
    sent = json.loads(json.dumps(subject.overrides))
    arch = make_network(subject.network, **dict(sent)).backbone.architecture
    assert (arch.depths, arch.width) == ((2, 1, 2, 1), 0.5)
    assert key(subject) == '["r3d_rs_tiny", {"depths": [2, 1, 2, 1], "width": 0.5}, 8, 32]'


# -- What is read.


def test_a_point_has_what_its_runs_left(tmp_path, fake):
    study = study_of(tmp_path, 2, widths="0.25,0.5", epochs="5,20")
    finish_all(study, lambda config, gmac, seed: 0.2 + 0.1 * seed)
    results = read_results(study)
    assert (results.runs, len(results.points), results.epochs()) == (8, 4, [5, 20])
    assert (results.train_videos, results.test_videos) == (8, VIDEOS)

    first = results.points[0]
    assert first.point.name == "d1-1-1-1_w0.25_s32_f4_e5"
    assert first.values("error") == pytest.approx([0.2, 0.3])
    assert first.spread("error") == pytest.approx(0.1 / math.sqrt(2))
    assert first.mean("cross_entropy") == pytest.approx(-0.75 * math.log(0.9) - 0.25 * math.log(0.1))
    assert first.latency.milliseconds == pytest.approx(4)
    model = make_network("r3d_rs_tiny", width=0.25).to("meta")
    model.reset_classifier(2)
    model = model.to("meta")
    assert first.gmac == gmac(model, 4, 32)
    assert first.parameters == parameters(model)


def test_the_table_has_the_points(tmp_path, fake):
    study = study_of(tmp_path, 2, widths="0.25,0.5")
    finish_all(study, of_compute())
    write_report(study, {})
    with (study.folder / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    point = read_results(study).points[0]
    assert rows[0]["row"] == point.point.name
    assert float(rows[0]["gmac"]) == point.gmac
    assert float(rows[0]["top1"]) + float(rows[0]["error"]) == pytest.approx(1)
    assert (rows[0]["seeds"], rows[0]["latency_ms"]) == ("2", "4.0")


# -- The whole.


@pytest.mark.xdist_group("processes")
def test_a_study_from_end_to_end(tool, videos, tmp_path, fake, blank_charts, monkeypatch):
    """Its runs are done in this process, one after the other: what starts processes is tested with the engines."""
    monkeypatch.setitem(running.ENGINES, "local", run_here)
    monkeypatch.setattr("video_rs.studies.budget.probe", lambda *_: Speed(10.0, 1.0))
    keys = tiny_run(videos, tmp_path)
    pairs = list(zip(keys[::2], keys[1::2], strict=True))
    left_out = ("OUTPUT_DIR", "MODEL.WIDTH", "SOLVER.MAX_EPOCH", "DATA.TRAIN_LIST", "DATA.VAL_LIST")
    base = tmp_path / "base.yaml"
    base.write_text("".join(f"{key}: {value}\n" for key, value in pairs if key not in left_out))
    command = ["--cfg", base, "--list", videos, "--widths", "0.125,0.25", "--epochs", "1,2"]
    out = tmp_path / "study"
    done = tool("scaling_study", *command, "--out", out)
    assert done.code == 0, done.err
    study = load_study(out)
    assert study.unfinished() == []
    assert "4 runs, 0 of them done" in done.out + done.err
    assert "report: " in done.out + done.err
    with (out / "table.csv").open() as file:
        rows = {row["row"]: row for row in csv.DictReader(file)}
    assert list(rows) == [f"d1-1-1-1_w{width}_s32_f4_e{epochs}" for epochs in (1, 2) for width in ("0.125", "0.25")]
    for run in study.runs:
        metrics = json.loads((study.run_folder(run) / "test" / "metrics.json").read_text())
        assert float(rows[run.row]["top1"]) == pytest.approx(metrics["top1"])

    # Once more: nothing is trained; another measure writes the report anew.
    again = tool("scaling_study", *command, "--out", out, "--measure", "cross_entropy")
    assert again.code == 0, again.err
    assert "all its 4 runs are done" in again.out + again.err
    assert load_study(out).settings == {"measure": "cross_entropy"}


def test_another_study_in_the_folder_is_refused(tool, videos, tmp_path):
    study = study_of(tmp_path, widths="0.25")
    done = tool(
        "scaling_study",
        "--cfg",
        "small_scratch.yaml",
        "--list",
        videos,
        "--widths",
        "0.25",
        "--threads",
        2,
        "--out",
        study.folder,
    )
    assert done.code == 2
    assert f"{study.folder} holds another study: its runs have --threads 1, not 2" in done.err


def test_a_network_that_cannot_be_measured_costs_no_other(tmp_path, fake, monkeypatch):
    study = study_of(tmp_path, widths="0.25,0.5", frames="4,8")
    configs = {run.row: study.config(run) for run in study.runs}
    measure = latency.measure
    too_large = subject_of(list(configs.values())[2])

    def refuse(subjects, rounds, report):
        if too_large in subjects:
            raise InputError(f"no memory for {len(subjects)}")
        return measure(subjects, rounds, report)

    monkeypatch.setattr(latency, "measure", refuse)
    found = measured_latencies(study.folder, configs, print)
    assert (len(configs), len(found.rows), found.trouble) == (4, 3, "no memory for 1")
    assert len(json.loads((study.folder / FILE).read_text())["rows"]) == 3
