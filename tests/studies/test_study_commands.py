"""``video-rs additive_study`` and ``video-rs study`` as they are typed."""

import dataclasses

import pytest

from helpers.studies import run_here
from video_rs.runtime.errors import InputError
from video_rs.studies import running
from video_rs.studies.additive import Ladder, Seeds, additive_study
from video_rs.studies.probing import Speed
from video_rs.studies.running import Resources, make_and_go_on
from video_rs.studies.study import load_study, open_study


@pytest.fixture
def arguments(videos, tmp_path):
    """Of a study of two rows whose runs take a second."""
    keys = {
        "DATA.NUM_FRAMES": 4,
        "DATA.TRAIN_CROP_SIZE": 32,
        "DATA.TEST_CROP_SIZE": 32,
        "DATA.TEST_SHORT_SIDE": 32,
        "TRAIN.BATCH_SIZE": 4,
        "SOLVER.MAX_STEPS": 2,
        "TEST.NUM_ENSEMBLE_VIEWS": 1,
        "MODEL.WIDTH": 0.125,
        "DATA.NUM_WORKERS": 0,
    }
    pairs = [part for pair in keys.items() for part in pair]
    return ["--rows", "00_r3d50,01_dropout", "--list", videos, "--out", tmp_path / "study", *pairs]


def test_a_study_is_made_and_gone_on_with(tool, arguments, tmp_path, monkeypatch, blank_charts):
    """Its runs are done in this process, one after the other: what starts processes is tested with the engines."""
    monkeypatch.setitem(running.ENGINES, "local", run_here)
    monkeypatch.setattr("video_rs.studies.budget.probe", lambda *_: Speed(10.0, 1.0))
    done = tool("additive_study", *arguments)
    assert done.code == 0, done.err
    assert "study 00" not in done.out
    assert done.out.count("\ndone: ") == 2
    assert done.out.endswith(f"report: {tmp_path}/study/report.html\n")
    assert "No row has two seeds that the row before has, too" in done.out
    study = load_study(tmp_path / "study")
    assert [run.name for run in study.runs] == ["00_r3d50-seed0", "01_dropout-seed0"]

    again = tool("study", tmp_path / "study")
    assert again.code == 0
    assert again.out.startswith(f"study {tmp_path}/study: all its 2 runs are done\n")
    assert again.out.splitlines()[1:] == done.out.splitlines()[-len(again.out.splitlines()) + 1 :]

    other = tool("additive_study", *arguments, "MODEL.DROPOUT", 0.25)
    assert other.code == 2
    assert f"{tmp_path}/study holds another study: MODEL.DROPOUT of 00_r3d50-seed0 is " in other.err


@pytest.mark.parametrize("key", ["OUTPUT_DIR", "RNG_SEED"])
def test_what_the_study_sets_is_refused(tool, arguments, key):
    refused = tool("additive_study", *arguments, key, 3)
    assert (refused.code, refused.err) == (
        2,
        f"error: {key} is set for each run by the study; give --out and --seeds, and leave it away\n",
    )


def test_a_list_without_validation_is_refused(tool, arguments, videos, tmp_path):
    refused = tool("additive_study", *arguments, "DATA.VAL_LIST", "")
    assert (refused.code, refused.err) == (
        2,
        "error: 00_r3d50-seed0 has no videos to be tested on; name a list with --list that has a column split with val "
        "rows, or set DATA.VAL_LIST\n",
    )


def test_videos_of_several_labels_are_refused_before_anything_runs(tool, arguments):
    refused = tool("additive_study", *arguments, "DATA.MULTI_LABEL", "true")
    assert (refused.code, refused.err) == (
        2,
        "error: 00_r3d50-seed0 has DATA.MULTI_LABEL true, and studies compare videos of one label each; leave it "
        "away\n",
    )


def test_no_seed_is_an_empty_study(tool, arguments):
    refused = tool("additive_study", *arguments, "--seeds", 0)
    assert (refused.code, refused.err) == (2, "error: the study has no runs: give at least one row, and one seed\n")


def test_a_folder_without_a_study_is_refused(tool, tmp_path):
    load = tool("study", tmp_path / "study")
    assert (load.code, load.err) == (
        2,
        f"error: {tmp_path}/study holds no study: it has no study.json; name the folder of one\n",
    )


def test_a_parent_is_for_one_run(tool, make_study):
    study = make_study("study", {"a": {}})
    refused = tool("study", study.folder, "--with-parent")
    assert (refused.code, refused.err) == (2, "error: --with-parent goes with --only\n")


def test_a_study_that_is_refused_leaves_nothing_that_refuses_the_corrected_one(tool, videos, tmp_path, blank_charts):
    """A misspelt list is no part of the study that the next command makes or goes on with."""
    (tmp_path / "ladder").mkdir()
    keys = [f"{key}: {value}" for key, value in (("MODEL", "{ARCH: r3d_rs_tiny, WIDTH: 0.125}"), ("DEVICE", "cpu"))]
    (tmp_path / "ladder/00_only.yaml").write_text("\n".join(keys) + "\n")
    out = tmp_path / "out"
    arguments = ("additive_study", "--ladder", tmp_path / "ladder", "--out", out)
    gone = tool(*arguments, "--list", tmp_path / "gone.csv")
    assert gone.code == 2
    assert f"list {tmp_path}/gone.csv does not exist" in gone.err
    assert list(out.iterdir()) == []

    study = additive_study(out, Ladder(str(tmp_path / "ladder"), (), []), Seeds(1, 1), 1)
    open_study(study).save()
    before = (out / "study.json").read_text()
    more = dataclasses.replace(study, runs=(*study.runs, dataclasses.replace(study.runs[0], seed=7)))
    with pytest.raises(InputError, match=r"^--engine cloud: allowed are local, slurm, ray"):
        make_and_go_on(more, Resources("cloud"))
    assert (out / "study.json").read_text() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--threads", 0), "--threads 0: give 1 or more"),
        (("--end-seeds", -3), "--end-seeds -3: give 0, which is as many as --seeds, or more"),
        (("--rows", ","), "the ladder has no row ''; it has 00_r3d50, "),
        ((), "--out {0} has a report.html of something else, which would be replaced; take another folder"),
    ],
)
def test_numbers_rows_and_folders_that_are_no_study(tool, videos, tmp_path, options, message):
    (tmp_path / "report.html").write_text("of a training")
    result = tool("additive_study", "--list", videos, "--out", tmp_path, *options)
    assert result.code == 2
    assert result.err.startswith(f"error: {message.format(tmp_path)}")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
