"""What does the runs of a study: on this machine, as a SLURM array, and on Ray's cluster."""

import io
import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from helpers.jobs import start_job
from helpers.runs import assert_same_weights, weights
from helpers.studies import WITHOUT_PROBE, run_here, wait_for_steps
from helpers.tools import ROOT
from video_rs.runtime.errors import InputError
from video_rs.studies import running
from video_rs.studies.budget import Budget
from video_rs.studies.engines.slurm import SlurmEngine
from video_rs.studies.locks import only_process
from video_rs.studies.one_run import do_run
from video_rs.studies.probing import Speed
from video_rs.studies.progress import StudyProgress
from video_rs.studies.run_process import command, failure
from video_rs.studies.running import Resources, go_on, make_engine
from video_rs.studies.work import Work

# One after the other: a study takes the cores of the machine as if it were alone.
pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.usefixtures("blank_charts")]

ROWS = {"a": {}, "b": {"SOLVER__BASE_LR": 0.01}, "c": {"SOLVER__BASE_LR": 0.02}}
STEPS = {"SOLVER__MAX_STEPS": 24, "TRAIN__EVAL_PERIOD": 1000, "TRAIN__LOG_PERIOD": 1, "TRAIN__CHECKPOINT_STEPS": 5}


def metrics(study, name):
    return json.loads((study.folder / "runs" / name / "test" / "metrics.json").read_text())


def test_a_killed_study_goes_on_and_ends_as_one_in_one_process_does(make_study, tmp_path, monkeypatch, capfd):
    """Two at a time, killed in the middle of the runs; nothing that was finished is done again.

    The second halves are done in this process: to start two more would take longer than they do.
    """
    alone = make_study("alone", ROWS, **STEPS)
    for run in alone.runs:
        do_run(alone, run.name)

    study = make_study("killed", ROWS, **STEPS)
    do_run(study, "a-seed0")
    finished = {path: path.stat().st_mtime_ns for path in (study.folder / "runs" / "a-seed0").rglob("*")}
    job = start_job(tmp_path, "study", study.folder, "--jobs", 2)
    wait_for_steps(job, study, "b-seed0", "c-seed0", steps=6)
    job.kill()
    job.join()
    # The runs notice that nobody waits for them: they save and end, and leave their locks.
    for name in ("b-seed0", "c-seed0"):
        with only_process(study.folder / "runs" / name / "lock"):
            assert not study.is_finished(study.run(name))
            assert (study.folder / "runs" / name / "checkpoints" / "last.pth").exists()

    capfd.readouterr()
    monkeypatch.setitem(running.ENGINES, "local", run_here)
    go_on(study, Resources(jobs=2))
    out = capfd.readouterr().out
    assert f"study {study.folder}: 3 runs, 1 of them done; the others have 48 steps and take about " in out
    assert sorted(re.findall(r"^done: (.*)$", out, re.MULTILINE)) == ["b-seed0", "c-seed0"]
    assert {path: path.stat().st_mtime_ns for path in (study.folder / "runs" / "a-seed0").rglob("*")} == finished
    for name in ("a-seed0", "b-seed0", "c-seed0"):
        ours, theirs = metrics(study, name), metrics(alone, name)
        assert ours.pop("checkpoint") != theirs.pop("checkpoint")
        assert ours == theirs
        assert_same_weights(weights(study.folder / "runs" / name), weights(alone.folder / "runs" / name))


def test_a_stopped_study_saves_its_runs(make_study, tmp_path):
    study = make_study("stopped", {"a": {}}, **{**STEPS, "SOLVER__MAX_STEPS": 4000})
    job = start_job(tmp_path, "study", study.folder, before=WITHOUT_PROBE)
    wait_for_steps(job, study, "a-seed0", steps=3)
    job.terminate()
    job.join(100)
    err = (tmp_path / "err.txt").read_text()
    assert job.exitcode == 143, err
    assert err.splitlines()[-1] == "stopped with the states of its runs saved; give the command again to go on"
    assert (study.folder / "runs" / "a-seed0" / "checkpoints" / "last.pth").exists()
    assert not study.is_finished(study.runs[0])


def test_a_run_that_fails_is_reported_and_the_others_go_on(make_study, monkeypatch, tmp_path, capfd):
    """Its weights are none; that is found where the run begins."""
    (tmp_path / "broken.pth").write_bytes(b"none")
    rows = {"a": {}, "broken": {"MODEL__PRETRAINED": tmp_path / "broken.pth"}}
    study = make_study("study", rows, SOLVER__MAX_STEPS=1)
    do_run(study, "a-seed0")
    (study.folder / "runs" / "a-seed0" / "done.json").rename(tmp_path / "done.json")
    monkeypatch.setattr("video_rs.studies.budget.probe", lambda *_: Speed(10.0, 1.0))
    go_on(study, Resources(jobs=2))
    said = capfd.readouterr().out
    assert re.search(r"^failed: broken-seed0: exit code 2: .*broken\.pth", said, re.MULTILINE), said
    assert "done: a-seed0\n" in said
    assert "exit code 2" in (study.folder / "report.html").read_text()
    # Once more, it is the only one that is left; what its process says is known by now.
    engine = lambda *_: {"broken-seed0": "exit code 2: no weights"}  # noqa: E731 - an engine of one line
    monkeypatch.setitem(running.ENGINES, "local", lambda jobs, processes: engine)
    with pytest.raises(InputError, match=r"^none of 1 run came to its end; broken-seed0: exit code 2: no weights$"):
        go_on(study, Resources())


def test_a_finished_study_says_so_and_writes_its_report(make_study, capfd):
    study = make_study("study", {"a": {}}, SOLVER__MAX_STEPS=1)
    do_run(study, "a-seed0")
    go_on(study, Resources())
    said = capfd.readouterr().out
    assert f"study {study.folder}: all its 1 run are done\n" in said
    assert said.endswith(f"report: {study.folder}/report.html\n")
    before = (study.folder / "runs" / "a-seed0" / "done.json").stat().st_mtime_ns
    do_run(study, "a-seed0")
    assert (study.folder / "runs" / "a-seed0" / "done.json").stat().st_mtime_ns == before


def test_two_processes_do_not_do_one_run(make_study, monkeypatch):
    study = make_study("study", {"a": {}}, SOLVER__MAX_STEPS=1)
    monkeypatch.setattr("video_rs.studies.locks.LOCK_SECONDS", 0.3)
    folder = study.run_folder(study.runs[0])
    folder.mkdir(parents=True)
    said = rf"another process is at {folder}; wait for it, or end it, and "
    with only_process(folder / "lock"), pytest.raises(InputError, match=said):
        do_run(study, "a-seed0")


def test_the_array_job_has_a_line_for_each_run(make_study, capfd):
    study = make_study("a study's 5%", {f"row{number}": {} for number in range(3)})
    names = [run.name for run in study.runs]
    assert SlurmEngine(jobs=2, processes=8)(study, names, None) == {}
    script = study.folder / "slurm.sh"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    text = script.read_text()
    assert "#SBATCH --array=1-3%2\n" in text
    assert "#SBATCH --gpus-per-node=8\n" in text
    # A folder of any name is one word, and has no number put into it.
    [output] = re.findall(r"^#SBATCH (--output=.*)$", text, re.MULTILINE)
    assert shlex.split(output) == [f"--output={study.folder}%/slurm_%a.txt"]
    lines = (study.folder / "slurm_runs.sh").read_text().splitlines()
    for line, name in zip(lines, names, strict=True):
        words = shlex.split(line)
        assert words[:2] == ["env", "OMP_NUM_THREADS=1"]
        assert words[2:7] == ["torchrun", "--standalone", "--nproc-per-node", "8", "-m"]
        assert words[7:] == ["video_rs", "study", str(study.folder), "--only", name]
    said = capfd.readouterr().out
    first, second = said.splitlines()
    assert first.startswith("3 runs as an array job: sbatch ")
    assert shlex.split(first)[-2:] == ["sbatch", str(script)]
    assert second.startswith("when they have ended: video-rs study ")
    assert shlex.split(second)[-1] == str(study.folder)


def test_a_line_of_the_array_job_does_its_run(make_study, tmp_path):
    """As the job does it, with a scheduler's variables; the command is found on the path."""
    study = make_study("a study's", {"a": {}, "b": {}}, SOLVER__MAX_STEPS=1)
    SlurmEngine()(study, [run.name for run in study.runs], None)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "video-rs").write_text(f'#!/bin/sh\nexec {sys.executable} -m video_rs "$@"\n')
    (folder / "video-rs").chmod(0o755)
    variables = {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_JOB_ID": "7"}
    done = subprocess.run(
        ["bash", str(study.folder / "slurm.sh")],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [study.is_finished(run) for run in study.runs] == [False, True]


def test_a_study_for_a_cluster_measures_nothing_here(make_study, monkeypatch, capfd):
    monkeypatch.setattr("video_rs.studies.budget.probe", None)
    study = make_study("study", {"a": {}}, SOLVER__MAX_STEPS=7)
    go_on(study, Resources("slurm"))
    said = capfd.readouterr().out.splitlines()[0]
    assert re.fullmatch(
        rf"study {study.folder}: 1 run, 0 of them done; the others have 7 steps and less than 1 PFLOP; how long they "
        "take is known when one of them is done",
        said,
    )


def test_several_processes_are_started_by_torchrun(make_study):
    study = make_study("study", {"a": {}})
    assert command(study, "a-seed0", 2, "--with-parent") == [
        *[sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "video_rs"],
        *["study", str(study.folder), "--only", "a-seed0", "--with-parent"],
    ]


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ({"engine": "slrm"}, r"--engine slrm: allowed are local, slurm, ray; did you mean slurm\?"),
        ({"jobs": 0}, r"--jobs 0: give 1 or more"),
        ({"processes": 0}, r"--processes 0: give 1 or more"),
    ],
)
def test_unusable_resources_are_refused(resources, said):
    with pytest.raises(InputError, match=said):
        make_engine(Resources(**resources))


def test_without_ray_its_extra_is_named(make_study, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    study = make_study("study", {"a": {}}, SOLVER__MAX_STEPS=1)
    with pytest.raises(InputError, match=r"--engine ray needs Ray; install it with: pip install 'video_rs\[ray\]'"):
        go_on(study, Resources("ray"))


def test_a_failure_is_the_last_line_that_was_printed(make_study):
    study = make_study("study", {"a": {}})
    assert failure(study, "a-seed0", 0) is None
    assert failure(study, "a-seed0", 1) == "exit code 1: it printed nothing"
    folder = study.run_folder(study.runs[0])
    folder.mkdir(parents=True)
    (folder / "output.txt").write_text("step 1\nerror: no such file\n\n")
    assert failure(study, "a-seed0", 2) == "exit code 2: no such file"


def test_progress_knows_how_far_runs_are(make_study, monkeypatch):
    study = make_study("study", {"a": {}, "b": {}})
    work = dict.fromkeys(("a-seed0", "b-seed0"), Work(100, 400, 10, 1.0, 1.0, 5))
    clock = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    progress = StudyProgress(study, Budget(work, {"a-seed0": 50.0, "b-seed0": 50.0}), 1)
    assert progress.seconds_left() == 100
    folder = study.run_folder(study.runs[0])
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text('{"kind": "train", "step": 50}\n{"kind": "tr')
    assert progress.share("a-seed0") == 0.49
    # It took 49 s for what was estimated at 24.5 s.
    clock[0] += 49
    assert progress.seconds_left() == pytest.approx(2 * (100 - 24.5))

    # Two at a time, one of which is left: nobody shares its rest.
    pair = StudyProgress(study, Budget(work, {"a-seed0": 50.0, "b-seed0": 50.0}), 2)
    assert pair.seconds_left() == pytest.approx((100 - 24.5) / 2)
    pair.ended("b-seed0", None)
    clock[0] += 25
    assert pair.seconds_left() == pytest.approx(25.5)

    unknown = StudyProgress(study, Budget(work, {}), 1)
    assert unknown.seconds_left() is None
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdout", said)
    clock[0] += 100
    unknown.update(["a-seed0"])
    assert said.getvalue() == "study 0/2 runs  a-seed0 49%  ETA unknown yet\n"
