"""A cluster of Ray: the one that RAY_ADDRESS names, or one on this machine for as long as it is needed."""

import contextlib
import logging
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from video_rs.runtime.errors import InputError
from video_rs.runtime.families import is_running
from video_rs.runtime.signals import TERMINATED, end_on_signals, handlers_kept, interrupts
from video_rs.runtime.unfinished import temporary_folder
from video_rs.runtime.wording import pluralize

ADDRESS = "RAY_ADDRESS"
"""The variable of the environment that names a cluster, as Ray itself reads it."""

# Ray reads these when it is imported. The second one, which is there for two other systems, makes Ray listen at
# 127.0.0.1 instead of at all addresses of the machine.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
PRIVATE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

ANSWER = 10  # seconds in which a cluster has to answer
ENDING = 30.0  # seconds in which a cluster is shut down, and then in which what is left of it goes, on a busy machine

# Bytes of the folder for temporary files: the names of sockets within it have 107 at most, and Ray takes 75 of them.
LONGEST_FOLDER = 30


def import_ray() -> Any:
    """Return Ray's module.

    Raises:
        InputError: it is not installed; the message names the extra.
    """
    variables = dict(QUIET)
    if not os.environ.get(ADDRESS):
        variables |= PRIVATE
    for name, value in variables.items():
        os.environ.setdefault(name, value)

    try:
        import ray
    except ImportError as error:
        raise InputError("--engine ray needs Ray; install it with: pip install 'video_rs[ray]'") from error
    return ray


@contextlib.contextmanager
def ray_cluster() -> Iterator[Any]:
    """Give Ray's module, connected to a cluster; one that was started for this ends with it, and leaves no files.

    Only a second signal, while it ends, may leave some. SIGTERM and SIGHUP end the command with exit code 143.

    Raises:
        InputError: Ray is not installed, or no cluster answers at ``RAY_ADDRESS``.
    """
    ray = import_ray()
    if ray.is_initialized():
        yield ray
        return

    _silence_messages(ray)
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = os.environ.get(ADDRESS)
    cluster = _cluster_at(ray, address, quiet) if address else _cluster_of_its_own(ray, quiet)
    with handlers_kept():
        end_on_signals()
        try:
            with cluster:
                # Ray has taken SIGTERM for itself.
                end_on_signals()
                yield ray
        except SystemExit:
            # Whatever the code was: where somebody waits for an answer, Ray makes it 1.
            sys.exit(TERMINATED)


@contextlib.contextmanager
def _cluster_at(ray: Any, address: str, quiet: Mapping[str, Any]) -> Iterator[None]:
    """Connect to a cluster that is there, and leave it at the end."""
    _connect(ray, address, quiet)
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _cluster_of_its_own(ray: Any, quiet: Mapping[str, Any]) -> Iterator[None]:
    """Start a cluster on this machine; at the end its processes are gone, and then the folder of their files."""
    parent = tempfile.gettempdir()
    if len(parent) > LONGEST_FOLDER:
        parent = "/tmp"
    with temporary_folder("ray", Path(parent)) as folder, interrupts.patience(2 * ENDING):
        others = psutil.Process().children()
        nodes: list[psutil.Process] = []
        try:
            try:
                ray.init("local", include_dashboard=False, _temp_dir=str(folder), **quiet)
            finally:
                nodes += [process for process in psutil.Process().children() if process not in others]
            yield
        finally:
            _end(ray, nodes, folder)


def _end(ray: Any, nodes: Sequence[psutil.Process], folder: Path) -> None:
    """Shut a cluster down, and return when its processes and their folder are gone.

    Ray leaves its workers behind, which end once they miss the cluster and write into the folder until then. What
    workers have started is left alone: a run of a study saves its state.

    Args:
        ray: Ray's module.
        nodes: what ``ray.init`` has started, whose children are the workers.
        folder: of Ray's files.
    """
    processes = list(nodes)
    for node in nodes:
        with contextlib.suppress(psutil.NoSuchProcess):
            processes += node.children()
    try:
        ray.shutdown()
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        late = time.monotonic() + ENDING
        # A worker that was started a moment ago may not be among them, and write for a second more.
        while (any(map(is_running, processes)) or folder.exists()) and time.monotonic() < late:
            shutil.rmtree(folder, ignore_errors=True)
            time.sleep(0.05)


def _connect(ray: Any, address: str, quiet: Mapping[str, Any]) -> None:
    """Connect to a cluster that is there."""
    try:
        _require_listener(address)
        ray.init(address, **quiet)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"{ADDRESS} is {address}, and no cluster of Ray answers there ({reason}); start one with ray start, or "
            f"unset {ADDRESS} to use this machine alone"
        ) from error


def _require_listener(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=ANSWER).close()


def _silence_messages(ray: Any) -> None:
    """Keep Ray from printing paragraphs about processes that died: who uses them says so in a line."""
    worker = getattr(ray._private, "worker", None)
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


@dataclass(frozen=True)
class ActorShare:
    """What actors take of a cluster.

    Attributes:
        actors: how many there are.
        gpus: of each actor.
        cpus: CPU cores that Ray keeps free for each actor.
        processes: that an actor may use beside its own, when each machine has as many actors as every other.
    """

    actors: int
    gpus: int
    cpus: int
    processes: int


def share_cluster(nodes: Sequence[Mapping[str, Any]], actors: int, with_gpus: bool) -> ActorShare:
    """Return what each actor gets: a GPU where the cluster has any, else its share of the cores of its machine.

    Args:
        nodes: of the cluster, as ``ray.nodes()`` describes them.
        actors: how many; 0: one for each GPU, or without GPUs one for each machine.
        with_gpus: whether GPUs are used.

    Raises:
        InputError: the cluster has no room for so many actors.
    """
    machines = [node["Resources"] for node in nodes if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
    if not machines:
        raise InputError("the cluster of Ray has no machine with a CPU core for --engine ray; ray status shows it")
    gpu_machines = [machine for machine in machines if machine.get("GPU", 0) >= 1]
    if with_gpus and gpu_machines:
        gpus = sum(int(machine["GPU"]) for machine in gpu_machines)
        _refuse_more(actors, gpus, "GPU")
        cores = min(int(machine["CPU"] // machine["GPU"]) for machine in gpu_machines)
        return ActorShare(actors or gpus, 1, 1, max(1, cores))

    all_cores = sum(int(machine["CPU"]) for machine in machines)
    _refuse_more(actors, all_cores, "CPU core")
    actors = actors or len(machines)
    on_a_machine = -(-actors // len(machines))
    cores = max(1, min(int(machine["CPU"]) for machine in machines) // on_a_machine)
    return ActorShare(actors, 0, cores, cores)


def _refuse_more(actors: int, room: int, unit: str) -> None:
    """Raise InputError for actors that would wait for ever."""
    if actors > room:
        raise InputError(
            f"--actors is {actors}, and the cluster of Ray has {pluralize(room, unit)}; allowed: 1 to {room}"
        )
