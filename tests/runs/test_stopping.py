"""How a run is stopped: by a scheduler, and by Ctrl-C."""

import os
import signal
import subprocess
import sys
import time

import pytest

from helpers.jobs import run_job
from helpers.runs import TRAIN_NET, assert_same_weights, tiny_run, weights
from helpers.tools import ROOT
from video_rs.reports import read_log

# One after the other: a job of several processes takes the cores of the machine as if it were alone.
pytestmark = [pytest.mark.xdist_group("processes"), pytest.mark.usefixtures("blank_charts")]


TERMINATED_AT_STEP_3 = """
import os
import signal
from video_rs.runs import recorder

log = recorder.Recorder.log

def log_then_terminate(run, step, scalars):
    log(run, step, scalars)
    if step == 3:
        os.kill(os.getpid(), signal.SIGTERM)

recorder.Recorder.log = log_then_terminate
"""


def test_sigterm_saves_and_exits_143_and_resume_ends_with_the_same_weights(tool, videos, config_file, tmp_path):
    varied = {
        "AUG__RAND_AUGMENT_LAYERS": 2,
        "MODEL__STOCHASTIC_DEPTH": 0.2,
        "MODEL__DROPOUT": 0.3,
        "SOLVER__MAX_EPOCH": 3,
    }
    whole, parted = tmp_path / "whole", tmp_path / "parted"
    assert tool("train_net", "--cfg", config_file, *tiny_run(videos, whole, **varied)).code == 0

    # In a process of its own: were the signal not answered, it would end that of all tests.
    train = ("train_net", "--cfg", config_file, *tiny_run(videos, parted, **varied))
    stopped = run_job(tmp_path, 1, *train, before=TERMINATED_AT_STEP_3)
    assert stopped.codes == [143]
    assert stopped.err.strip().endswith("stopped after step 3; continue with --resume")
    assert weights(parted)["step"] == 3
    resumed = tool("train_net", "--cfg", config_file, "--resume", *tiny_run(videos, parted, **varied))
    assert resumed.code == 0, resumed.err
    assert f"resuming {parted} at step 3 of 6" in resumed.out
    assert_same_weights(weights(whole), weights(parted))
    steps = [r["step"] for r in read_log(parted / "log.jsonl") if r["kind"] == "train"]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_a_scheduler_that_signals_the_whole_group_finds_the_state_saved(videos, config_file, tmp_path):
    arguments = tiny_run(videos, tmp_path / "run", SOLVER__MAX_STEPS=100000, SOLVER__MAX_EPOCH=1, DATA__NUM_WORKERS=1)
    command = [sys.executable, str(ROOT / "tools/train_net.py"), "--cfg", str(config_file), *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    for line in process.stdout:
        if line.startswith("step 3/"):
            os.killpg(process.pid, signal.SIGTERM)
            break
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert weights(tmp_path / "run")["step"] >= 3
    assert err.splitlines()[0] == "stopping after this step and saving"


AGAIN = "stopping after this step and saving; press Ctrl-C again to stop at once without saving"


# Instead of a step, or of the report, something endless; it is announced.
ENDLESS_STEP = """
import hashlib
from video_rs.engine.step import Step
whole = Step.__call__
def endless(self, micro_batches, rate=None):
    if self.number == 3:
        print("here", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
    return whole(self, micro_batches, rate)
Step.__call__ = endless
"""


ENDLESS_REPORT = """
import time
from video_rs.runs import recorder
def endless(*_, **__):
    print("here", flush=True)
    time.sleep(600)
recorder.write_evaluation_report = endless
"""


def endless_run(videos, config_file, output, changed="", until="step 3/"):
    """A run with a reading process, when it has printed ``until``."""
    keys = {"SOLVER__MAX_STEPS": 100000, "SOLVER__MAX_EPOCH": 1, "DATA__NUM_WORKERS": 1, "TRAIN__EVAL_PERIOD": 1000000}
    arguments = ["train_net.py", "--cfg", str(config_file), *tiny_run(videos, output, **keys)]
    script = f"import runpy, sys\nsys.argv = {arguments}\n{changed}\nrunpy.run_path({TRAIN_NET!r}, run_name='__main__')"
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(process, until)
    return process


def wait_for(process, start):
    assert any(line.startswith(start) for line in process.stdout), process.stderr.read()


def assert_nothing_is_left(process):
    """Its reading processes are in its group."""
    stop = time.monotonic() + 5
    while time.monotonic() < stop:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("its reading processes outlive it")


def test_ctrl_c_says_what_it_does_and_saves(videos, config_file, tmp_path):
    process = endless_run(videos, config_file, tmp_path / "run")
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    step = weights(tmp_path / "run")["step"]
    assert step >= 3
    said = [AGAIN, f"stopped after step {step}; continue with --resume"]
    assert (process.returncode, err.splitlines()) == (143, said)
    assert (tmp_path / "run" / "report.html").is_file()
    assert_nothing_is_left(process)


def test_a_second_ctrl_c_ends_it_at_once_without_saving(videos, config_file, tmp_path):
    process = endless_run(videos, config_file, tmp_path / "run", ENDLESS_STEP, "here")
    os.killpg(process.pid, signal.SIGINT)
    assert process.stderr.readline() == f"{AGAIN}\n"
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert time.monotonic() - began < 2
    assert process.stderr.read() == "interrupted\n"
    assert not (tmp_path / "run" / "report.html").exists()
    assert not (tmp_path / "run" / "checkpoints" / "last.pth.partial").exists()
    assert_nothing_is_left(process)


def test_ctrl_c_while_the_report_is_drawn_ends_it(videos, config_file, tmp_path):
    process = endless_run(videos, config_file, tmp_path / "run", ENDLESS_REPORT)
    os.killpg(process.pid, signal.SIGINT)
    wait_for(process, "here")
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert time.monotonic() - began < 2
    assert process.stderr.read() == f"{AGAIN}\ninterrupted\n"
    assert weights(tmp_path / "run")["step"] >= 3
    assert_nothing_is_left(process)
