"""A study on a Ray cluster of this machine."""

import os

import pytest

from helpers import predictions
from helpers.jobs import SECONDS, start_job
from helpers.runs import weights
from helpers.studies import WITHOUT_PROBE, wait_for_steps
from video_rs.studies.one_run import do_run
from video_rs.studies.running import Resources, go_on

ray = pytest.importorskip("ray")


@pytest.fixture
def cluster(monkeypatch):
    """A cluster of two cores, whose processes find the package where this one does."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster", "blank_charts")
def test_a_study_on_ray_gives_the_numbers_of_one_on_this_machine(make_study, tmp_path, capfd):
    (tmp_path / "broken.pth").write_bytes(b"none")
    rows = {"a": {}, "b": {"SOLVER__BASE_LR": 0.02}}
    alone = make_study("alone", rows, SOLVER__MAX_STEPS=2)
    for run in alone.runs:
        do_run(alone, run.name)
    # A finished run says how long the others take.
    study = make_study("study", {**rows, "broken": {"MODEL__PRETRAINED": tmp_path / "broken.pth"}}, SOLVER__MAX_STEPS=2)
    go_on(study, Resources("ray", jobs=2))
    for run in alone.runs:
        assert predictions.rows(study.run_folder(run) / "test") == predictions.rows(alone.run_folder(run) / "test")
    said = capfd.readouterr().out
    assert "failed: broken-seed0: exit code 2: " in said
    assert sorted(line for line in said.splitlines() if line.startswith("done: ")) == ["done: a-seed0", "done: b-seed0"]


@pytest.mark.usefixtures("cluster")
def test_a_lost_task_is_a_failed_run(make_study, monkeypatch, capfd):
    study = make_study("study", {"a": {}}, SOLVER__MAX_STEPS=2)
    monkeypatch.setattr("video_rs.studies.engines.ray.do_in_process", lambda *_: os._exit(3))
    with pytest.raises(Exception, match=r"none of 1 run came to its end; a-seed0: its Ray task was lost: "):
        go_on(study, Resources("ray"))


def test_runs_save_when_a_study_on_its_own_cluster_is_stopped(make_study, tmp_path):
    # A checkpoint is only written where the run is told to stop.
    seldom = {"TRAIN__EVAL_PERIOD": 10**4, "TRAIN__CHECKPOINT_STEPS": 10**4}
    study = make_study("study", {"a": {}}, SOLVER__MAX_STEPS=10**4, TRAIN__LOG_PERIOD=1, **seldom)
    job = start_job(tmp_path, "study", study.folder, "--engine", "ray", before=WITHOUT_PROBE)
    try:
        wait_for_steps(job, study, "a-seed0", steps=3)
        job.terminate()
        job.join(SECONDS)
    finally:
        job.kill()
    err = (tmp_path / "err.txt").read_text()
    assert err.splitlines() == [
        "stopping the runs after their steps and saving",
        "stopped with the states of its runs saved; give the command again to go on",
    ]
    assert job.exitcode == 143
    step = weights(study.folder / "runs" / "a-seed0")["step"]
    said = (study.folder / "runs" / "a-seed0" / "output.txt").read_text().splitlines()
    assert [line for line in said if line.startswith("step ")][-1].startswith(f"step {step}/")
