"""A cluster of Ray: the one that RAY_ADDRESS names, or one on this machine for as long as it is needed."""

import contextlib
import logging
import os
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from video_rs.runtime.errors import InputError
from video_rs.runtime.signals import interrupts
from video_rs.runtime.unfinished import temporary_folder
from video_rs.runtime.wording import pluralize

ADDRESS = "RAY_ADDRESS"
"""The variable of the environment that names a cluster, as Ray itself reads it."""

# Ray reads these when it is imported. The second one, which is there for two other systems, makes Ray listen at
# 127.0.0.1 instead of at all addresses of the machine.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0"}
PRIVATE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}

ANSWER = 10  # seconds in which a cluster has to answer
ENDING = 30.0  # seconds in which a cluster ends, however busy the machine

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
    if not address:
        with _cluster_of_its_own(ray, quiet):
            yield ray
        return

    _connect(ray, address, quiet)
    try:
        yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _cluster_of_its_own(ray: Any, quiet: Mapping[str, Any]) -> Iterator[None]:
    """Start a cluster on this machine; at the end its processes are gone, and then the folder of their files."""
    parent = tempfile.gettempdir()
    if len(parent) > LONGEST_FOLDER:
        parent = "/tmp"
    with temporary_folder("ray", Path(parent)) as folder, interrupts.patience(ENDING):
        others = psutil.Process().children()
        try:
            ray.init("local", include_dashboard=False, _temp_dir=str(folder), **quiet)
            yield
        finally:
            processes = _processes_since(others)
            ray.shutdown()
            _end(processes)


def _processes_since(others: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Return the processes of a cluster: what was started beside ``others``, and the workers that these have started.

    What workers have started is left out: it belongs to whoever uses the cluster, and may have something to save.
    """
    processes = []
    for node in psutil.Process().children():
        if node not in others:
            processes.append(node)
            with contextlib.suppress(psutil.NoSuchProcess):
                processes.extend(node.children())
    return processes


def _end(processes: Sequence[psutil.Process]) -> None:
    """Kill the processes of a cluster and wait until they are gone.

    Ray's shutdown leaves its workers behind, which end once they miss the cluster and write into its folder until then.
    """
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=ENDING)


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
