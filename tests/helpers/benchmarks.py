"""Subjects of benchmarks, and processes for them: quick ones, none at all, or numbers of those that are started."""

import dataclasses
import os

import pytest
import torch

from helpers.tools import ROOT
from video_rs.benchmarks import process
from video_rs.benchmarks.network_calls import NetworkRounds
from video_rs.benchmarks.subject import FORWARD, OURS, Subject
from video_rs.benchmarks.worker import ROUNDS

TINY = Subject(FORWARD, OURS, "eager", 2, 2, 32, network="r3d_rs_tiny")
SMALL = ("--network", "r3d_rs_tiny", "--frames", 2, "--size", 32, "--rounds", 1, "--device", "cpu")
NO_CUDA = f"--device is cuda, and PyTorch {torch.__version__} finds no such GPU here, only the CPU; take --device cpu"
CPU = {"batch": 2, "frames": 8, "size": 224, "device": "cpu", "precision": "float32"}


def like(**changes):
    """The tiny subject with other fields."""
    return dataclasses.replace(TINY, **changes)


class InThisProcess:
    """Measures a subject here, in the place of :class:`video_rs.benchmarks.process.Process`."""

    def __init__(self, subject, name):
        self.subject = subject
        self.warm_memory_mb = None

    def end_after(self, seconds):
        pass

    def wait_until_warm(self):
        self.rounds = ROUNDS.get(self.subject.kind, NetworkRounds)(self.subject)
        self.rounds.warm_up()
        self.warm_memory_mb = 100.0 * self.subject.batch

    def measure(self):
        return self.rounds.measure()

    def end(self):
        return {"peak_memory_mb": self.warm_memory_mb, **self.rounds.end()}

    def close(self):
        pass


@pytest.fixture
def quick(monkeypatch):
    """Processes run :mod:`helpers.quick_worker`."""
    monkeypatch.setattr(process, "WORKER", "helpers.quick_worker")
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep)


@pytest.fixture
def pids(monkeypatch):
    """Numbers of the processes that were started."""
    numbers = []

    class Noted(process.Process):
        def __init__(self, subject, name):
            super().__init__(subject, name)
            numbers.append(self.process.pid)

    monkeypatch.setattr(process, "Process", Noted)
    return numbers


def alive(numbers):
    """Those of the processes that are there."""

    def there(number):
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            return False
        return True

    return [number for number in numbers if there(number)]
