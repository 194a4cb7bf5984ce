"""Ray without Ray: what it is told before it is imported, and how a cluster is shared out."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from video_rs.runtime.errors import InputError
from video_rs.runtime.families import is_running
from video_rs.runtime.ray_cluster import ActorShare, import_ray, ray_cluster, share_cluster


def machine(cores, gpus=0, alive=True):
    resources = {"CPU": float(cores)}
    if gpus:
        resources["GPU"] = float(gpus)
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "actors", "share"),
    [
        ([machine(8)], 0, ActorShare(1, 0, 8, 8)),
        ([machine(8)], 3, ActorShare(3, 0, 2, 2)),
        ([machine(8), machine(4), machine(0), machine(16, alive=False)], 0, ActorShare(2, 0, 4, 4)),
        ([machine(1)], 1, ActorShare(1, 0, 1, 1)),
        ([machine(16, 2), machine(32, 8), machine(64)], 0, ActorShare(10, 1, 1, 4)),
        ([machine(2, 4)], 3, ActorShare(3, 1, 1, 1)),
    ],
)
def test_an_actor_for_each_gpu_or_machine(nodes, actors, share):
    assert share_cluster(nodes, actors, with_gpus=True) == share


def test_gpus_are_left_to_others_where_the_cpu_is_asked_for():
    assert share_cluster([machine(16, 2)], 0, with_gpus=False) == ActorShare(1, 0, 16, 16)


@pytest.mark.parametrize(
    ("nodes", "actors", "words"),
    [
        ([machine(2)], 3, "--actors is 3, and the cluster of Ray has 2 CPU cores; allowed: 1 to 2"),
        ([machine(8, 1)], 2, "--actors is 2, and the cluster of Ray has 1 GPU; allowed: 1 to 1"),
        ([machine(0)], 0, "the cluster of Ray has no machine with a CPU core for --engine ray; ray status shows it"),
    ],
)
def test_too_many_actors_are_refused(nodes, actors, words):
    with pytest.raises(InputError) as caught:
        share_cluster(nodes, actors, with_gpus=True)
    assert str(caught.value) == words


def test_a_cluster_of_this_machine_is_private_and_one_of_others_is_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    for name in ("RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        # Set first, so that it is put back to what it was.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    import_ray()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in os.environ
    monkeypatch.delenv("RAY_ADDRESS")
    import_ray()
    assert os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"


def test_a_cluster_that_is_not_there(monkeypatch):
    def init(address, **_):
        raise ConnectionError(f"nobody at {address}\nand more")

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    fake = SimpleNamespace(is_initialized=lambda: False, init=init, _private=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "ray", fake)
    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = f"127.0.0.1:{server.getsockname()[1]}"
        # Ray is asked where somebody listens, or where it alone knows where.
        for address in (listening, f"ray://{listening}", "auto"):
            assert said_of(address, monkeypatch) == (
                f"RAY_ADDRESS is {address}, and no cluster of Ray answers there (nobody at {address}); start one with "
                "ray start, or unset RAY_ADDRESS to use this machine alone"
            )
    assert "answers there ([Errno 111] Connection refused); start one" in said_of(listening, monkeypatch)


def said_of(address, monkeypatch):
    """Return what is said of a cluster that is not there."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(InputError) as caught, ray_cluster():
        pass
    return str(caught.value)


# A run of a study: it saves when it has lost the process that has started it.
RUN = """
import pathlib, sys, time
sys.stdin.read()
time.sleep(0.3)
pathlib.Path(sys.argv[1]).touch()
"""

# A worker of Ray: it does not know yet that its cluster is gone, and writes into the folder as long as it lives.
WORKER = """
import itertools, pathlib, subprocess, sys
folder, run, saved = sys.argv[1:]
running = subprocess.Popen([sys.executable, "-c", run, saved], stdin=subprocess.PIPE)
for number in itertools.count():
    pathlib.Path(folder, str(number)).touch()
"""

# What ray.init starts: it ends at once when it is told to, and leaves its worker behind.
NODE = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]])
time.sleep(600)
"""


class FakeRay:
    """A cluster of one node and one worker."""

    _private = SimpleNamespace()

    def __init__(self, saved, interrupted):
        self._saved = saved
        self._interrupted = interrupted

    def is_initialized(self):
        return False

    def init(self, _, *, _temp_dir, **__):
        self.folder = Path(_temp_dir)
        self._node = subprocess.Popen([sys.executable, "-c", NODE, WORKER, _temp_dir, RUN, str(self._saved)])
        while not (self.folder / "0").exists():
            time.sleep(0.01)
        self.worker = psutil.Process(self._node.pid).children()[0]
        if self._interrupted:
            raise KeyboardInterrupt

    def shutdown(self):
        self._node.kill()
        self._node.wait()


@pytest.fixture
def other():
    """A process that was there before."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_cluster_of_the_commands_own_leaves_nothing_but_what_saves(interrupted, tmp_path, other, monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        # Set, so that it is put back to what it was.
        monkeypatch.setenv(name, "")
    fake = FakeRay(tmp_path / "saved", interrupted)
    monkeypatch.setitem(sys.modules, "ray", fake)
    with contextlib.suppress(KeyboardInterrupt), ray_cluster():
        assert not interrupted
    assert not is_running(fake.worker)
    assert not fake.folder.exists()
    assert other.poll() is None
    late = time.monotonic() + 30
    while not (tmp_path / "saved").exists():
        assert time.monotonic() < late
        time.sleep(0.01)
