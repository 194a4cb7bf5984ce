"""Subjects in processes of their own: their turns, their memory, and that nothing is left of them."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from helpers.benchmarks import SMALL, TINY, alive, like
from helpers.networks import refusal
from helpers.tools import ROOT
from video_rs.benchmarks import process
from video_rs.benchmarks.measuring import measure, measure_in_time, row_of
from video_rs.benchmarks.memory import descendants, family_memory_mb, open_files
from video_rs.benchmarks.subject import PEER, TRAIN

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the system hides it")


def test_subjects_take_turns(monkeypatch):
    calls = []

    class Fake:
        warm_memory_mb = 1.0

        def __init__(self, subject, name):
            self.name = name

        def __getattr__(self, what):
            calls.append(f"{what} {self.name}")
            answers = {"measure": {"seconds": [float(len(calls))]}, "end": {"peak_memory_mb": 5.0}}
            return lambda: answers.get(what)

    monkeypatch.setattr(process, "Process", Fake)
    lines = []
    subjects = [like(network="a", way=""), like(network="b", way="")]
    measured = measure(subjects, 2, lines.append)
    turns = "wait_until_warm a,wait_until_warm b,measure a,measure b,measure a,measure b,end a,end b,close a,close b"
    assert calls == turns.split(",")
    assert lines == ["building a", "building b", "round 1 of 2", "round 2 of 2"]
    assert [one.samples["seconds"] for one in measured] == [[3.0, 5.0], [4.0, 6.0]]
    assert [(one.warm_memory_mb, one.end) for one in measured] == [(1.0, {"peak_memory_mb": 5.0})] * 2


def test_a_network_in_a_process_of_its_own(pids):
    (measured,) = measure([TINY], 1, lambda line: None)
    row = row_of(measured, gflop=2.0)
    assert row.clips_per_s > 0
    assert row.gflops_per_s == pytest.approx(2 * row.clips_per_s)
    assert 1 <= row.calls <= 10
    # PyTorch alone takes more than the least; the peak is never below what was held earlier.
    assert 50 < measured.warm_memory_mb <= row.peak_memory_mb < 3000
    assert (len(pids), alive(pids)) == (1, [])


@on_linux
def test_peak_memory_is_that_of_the_process_and_not_of_its_parent():
    child = "from video_rs.benchmarks.memory import peak_memory_mb; print(peak_memory_mb('cpu'))"
    parent = (
        "import subprocess, sys; x = b'x' * 2**31; del x\n"  # 2 GiB, more than the libraries take
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )
    told = subprocess.run([sys.executable, "-c", parent], capture_output=True, text=True, check=True)
    assert 50 < float(told.stdout) < 1500


@on_linux
def test_the_memory_of_a_family_is_that_of_all_its_processes():
    before = family_memory_mb()
    code = "held = b'x' * 2**26; print('there', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"there\n"
    assert child.pid in descendants(os.getpid())
    # 64 MiB of its own, and what Python takes.
    assert 60 < family_memory_mb() - before < 200
    child.communicate(b"\n")
    assert child.pid not in descendants(os.getpid())


def test_open_files_are_counted(tmp_path):
    before = open_files()
    with (tmp_path / "one").open("w"), (tmp_path / "two").open("w"):
        assert open_files() == before + 2
    assert open_files() == before


def test_processes_start_without_settings(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MALLOC_ARENA_MAX", "MKL_NUM_THREADS", "TORCH_LOGS", "LD_PRELOAD"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KEPT_SETTING", "1")
    environment = process.bare_environment()
    code = "import json, os; print(json.dumps(dict(os.environ)))"
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    inside = json.loads(told.stdout)
    assert inside["KEPT_SETTING"] == "1"
    assert [name for name in inside if name.startswith(process.SETTINGS)] == []


def test_a_subject_that_fails_says_why():
    # Batch norm in training needs more than one value a channel.
    failing = like(kind=TRAIN, side=PEER, batch=1, frames=1, size=16, network="torchvision r3d_18")
    message = refusal(measure, [failing], 1, lambda line: None)
    why = (
        "ValueError: Expected more than 1 value per channel when training, got input size torch.Size([1, 512, 1, 1, 1])"
    )
    assert message == f"torchvision r3d_18 cannot be measured: {why}"


def test_where_a_subject_fails_nothing_is_left_of_the_others(quick, pids):
    failing = like(network="fails", way="")
    message = refusal(measure, [TINY, failing, TINY], 1, lambda line: None)
    assert message == "fails cannot be measured: no such thing"
    assert (len(pids), alive(pids)) == (2, [])


@pytest.mark.parametrize("network", ["hangs", "works"])
def test_what_was_measured_before_the_time_was_up_counts(quick, pids, network):
    measured = measure_in_time(like(network=network), 3, 2.0, lambda line: None)
    expected = {"hangs": ([0.5] * 2, 10.0), "works": ([0.5] * 6, 20.0)}[network]
    assert (measured.samples["seconds"], measured.end["peak_memory_mb"]) == expected
    assert (len(pids), alive(pids)) == (1, [])


def test_without_a_round_in_time_there_is_nothing(quick, pids, monkeypatch):
    class AtOnce(threading.Timer):
        def __init__(self, seconds, call):
            super().__init__(0, call)

    monkeypatch.setattr(process.threading, "Timer", AtOnce)
    message = refusal(measure_in_time, like(network="hangs", way=""), 3, 600.0, lambda line: None)
    assert message == "hangs cannot be measured: its time was up"
    assert (len(pids), alive(pids)) == (1, [])


@pytest.mark.parametrize("ending", ["killed", "interrupted"])
def test_a_process_that_is_killed_and_an_interruption_leave_nothing(quick, pids, ending):
    def report(line):
        if line == "round 2 of 2":
            assert alive(pids) == pids
            if ending == "interrupted":
                raise KeyboardInterrupt
            os.kill(pids[0], signal.SIGKILL)

    if ending == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            measure([TINY], 2, report)
    else:
        message = refusal(measure, [TINY], 2, report)
        why = "its process was killed, most likely because memory ran out; take a smaller --batch"
        assert message == f"r3d_rs_tiny eager cannot be measured: {why}"
    assert (len(pids), alive(pids)) == (1, [])


@on_linux
def test_sigterm_takes_the_processes_along():
    command = [sys.executable, str(ROOT / "tools/benchmark.py"), "model", *map(str, SMALL), "--engines", "none"]
    tool = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tool.stderr.readline() == "building r3d_rs_tiny eager\n"
    children = Path(f"/proc/{tool.pid}/task/{tool.pid}/children")
    ends = time.monotonic() + 30
    while not (numbers := [int(number) for number in children.read_text().split()]):
        assert time.monotonic() < ends
    tool.terminate()
    assert (tool.wait(30), tool.stderr.read()) == (143, "")
    # One that was just being started is not killed: it ends by itself, as nobody reads its answers.
    while alive(numbers):
        assert time.monotonic() < ends
