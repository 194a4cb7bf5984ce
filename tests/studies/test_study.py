"""A study's file, its runs, and what is refused."""

import dataclasses
import json

import pytest

from helpers.runs import tiny_run
from video_rs.config import load_config
from video_rs.runtime.errors import InputError
from video_rs.studies.study import Study, StudyRun, keys_of, load_study, open_study, with_seeds


@pytest.fixture
def study(tmp_path):
    rows = {"small": {"MODEL.ARCH": "r3d_rs_tiny"}, "wide": {"MODEL.ARCH": "r3d_rs_tiny", "MODEL.WIDTH": 2.0}}
    return Study(tmp_path / "study", "additive", {"note": 1}, 1, with_seeds(rows, {"small": 2, "wide": 1}))


def test_the_first_seed_of_all_rows_comes_before_the_second(study):
    assert [run.name for run in study.runs] == ["small-seed0", "wide-seed0", "small-seed1"]
    assert study.rows() == ["small", "wide"]


def test_a_study_is_what_its_file_says(study):
    study.save()
    assert load_study(study.folder) == study


def test_a_run_has_its_seed_its_folder_and_its_keys(study):
    config = study.config(study.run("wide-seed0"), SOLVER__MAX_STEPS=3)
    assert (config.MODEL.WIDTH, config.RNG_SEED, config.SOLVER.MAX_STEPS) == (2.0, 0, 3)
    assert str(study.folder / "runs" / "wide-seed0") == config.OUTPUT_DIR


def test_keys_of_a_config_make_the_same_config(config_file, videos, tmp_path):
    config = load_config(config_file, tiny_run(videos, tmp_path / "run", AUG__RAND_AUGMENT_LAYERS=2))
    keys = json.loads(json.dumps(keys_of(config)))
    assert "OUTPUT_DIR" not in keys
    again = load_config("", {**keys, "OUTPUT_DIR": config.OUTPUT_DIR, "RNG_SEED": config.RNG_SEED})
    assert again.flat() == config.flat()


def test_keys_hold_absolute_paths(videos, monkeypatch):
    monkeypatch.chdir(videos.parent)
    assert keys_of(load_config("", {"DATA.TRAIN_LIST": videos.name}))["DATA.TRAIN_LIST"] == str(videos)


def test_seeds_may_be_added_and_finished_runs_stay(study):
    open_study(study).save()
    folder = study.folder / "runs" / "small-seed0"
    folder.mkdir(parents=True)
    (folder / "done.json").write_text("{}")
    more = dataclasses.replace(study, runs=(*study.runs, StudyRun("wide", 1, study.runs[1].keys)))
    opened = open_study(more)
    # Nothing is written before it is known that the runs can be done.
    assert load_study(study.folder) == study
    opened.save()
    assert opened == more == load_study(study.folder)
    assert [run.name for run in opened.unfinished()] == ["wide-seed0", "small-seed1", "wide-seed1"]
    # With fewer seeds asked for, those that there are stay.
    assert open_study(study).runs == more.runs


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "scaling"}, "its kind is additive, not scaling"),
        ({"threads": 2}, "its runs have --threads 1, not 2"),
        (
            {"runs": (StudyRun("small", 0, {"MODEL.WIDTH": 0.5}),)},
            "MODEL.ARCH of small-seed0 is 'r3d_rs_tiny', not 'r3d_rs_50'",
        ),
    ],
)
def test_another_study_in_the_folder_is_refused(study, change, said):
    open_study(study).save()
    with pytest.raises(InputError) as refused:
        open_study(dataclasses.replace(study, **change))
    assert str(refused.value) == (
        f"{study.folder} holds another study: {said}; give the same command to go on with it, or another --out"
    )
    assert load_study(study.folder) == study


def test_a_study_without_runs_is_refused(study):
    with pytest.raises(InputError, match=r"the study has no runs: give at least one row, and one seed"):
        open_study(dataclasses.replace(study, runs=()))
    assert not study.folder.exists()


def test_an_unknown_run_names_the_nearest(study):
    with pytest.raises(InputError, match=r"has no run 'small-seed3'; did you mean 'small-seed\d'\?"):
        study.run("small-seed3")
    with pytest.raises(InputError, match=r"has no run 'x'; it has small-seed0, wide-seed0, small-seed1"):
        study.run("x")


def test_a_folder_without_a_study_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no study: it has no study.json; name the folder of one"):
        load_study(tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", '{"runs": 3}'])
def test_a_study_that_cannot_be_read_is_refused(tmp_path, text):
    (tmp_path / "study.json").write_text(text)
    with pytest.raises(
        InputError, match=r"cannot read .*study.json: .*; take it back from a copy, or start in another folder"
    ):
        load_study(tmp_path)


def test_a_study_of_another_format_is_refused(study):
    study.save()
    path = study.folder / "study.json"
    path.write_text(path.read_text().replace('"format": 1', '"format": 9'))
    with pytest.raises(InputError, match=r"has the format 9; this version reads 1"):
        load_study(study.folder)
