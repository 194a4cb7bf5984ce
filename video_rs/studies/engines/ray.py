"""Runs on a Ray cluster: a task a run, with its GPUs."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from video_rs.runtime.ray_cluster import ray_cluster
from video_rs.studies.progress import StudyProgress
from video_rs.studies.run_process import command, environment, failure, output_file
from video_rs.studies.study import Study

PAUSE = 1.0  # seconds between looks at the tasks


# Else a worker of Ray kills what it has started when it ends: a run that would save its state.
LEAVE_RUNS = {"RAY_kill_child_processes_on_worker_exit": "0"}


@dataclass(frozen=True)
class RayEngine:
    """Does each run as a task of a Ray cluster, all machines of which see the folder of the study.

    Where RAY_ADDRESS names no cluster, Ray starts one on this machine. When this process ends before its tasks, their
    runs save and stop.

    Attributes:
        jobs: runs at a time, at most.
        processes: of each run, and GPUs where the cluster has any.
    """

    jobs: int = 1
    processes: int = 1

    def __call__(self, study: Study, names: Sequence[str], progress: StudyProgress) -> Mapping[str, str]:
        """Do the runs, and return why those failed that did.

        Raises:
            InputError: Ray is not installed, or there is no cluster where RAY_ADDRESS says.
        """
        with ray_cluster() as ray:
            return self._do_runs(ray, study, names, progress)

    def _do_runs(self, ray: Any, study: Study, names: Sequence[str], progress: StudyProgress) -> dict[str, str]:
        """Do the runs on a cluster, and return why those failed that did."""
        task = ray.remote(do_in_process).options(**self._share(ray.cluster_resources()))
        waiting = list(names)
        running: dict[Any, str] = {}
        failed: dict[str, str] = {}
        while waiting or running:
            while waiting and len(running) < self.jobs:
                name = waiting.pop(0)
                call = (
                    command(study, name, self.processes, "--with-parent"),
                    environment(study),
                    str(output_file(study, name)),
                )
                running[task.remote(*call)] = name
            ended, _ = ray.wait(list(running), timeout=PAUSE)
            for reference in ended:
                name = running.pop(reference)
                failed.update(progress.ended(name, self._reason(ray, study, name, reference)))
            progress.update(list(running.values()))
        return failed

    def _share(self, cluster: Mapping[str, float]) -> dict[str, Any]:
        """Return what a task takes of a cluster: GPUs where it has any, else its share of the CPUs."""
        share = {"num_cpus": min(self.processes, int(cluster["CPU"]))}
        if cluster.get("GPU"):
            share = {"num_gpus": self.processes}
        return {**share, "max_retries": 0, "runtime_env": {"env_vars": LEAVE_RUNS}}

    def _reason(self, ray: Any, study: Study, name: str, reference: Any) -> str | None:
        """Return why a task has failed, or None."""
        try:
            return failure(study, name, ray.get(reference))
        except ray.exceptions.RayError as error:
            return f"its Ray task was lost: {str(error).splitlines()[0]}"


def do_in_process(words: Sequence[str], variables: Mapping[str, str], output: str) -> int:
    """Run a command to its end, and return its exit code; what it prints is appended to a file."""
    path = Path(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        process = subprocess.Popen(
            words,
            # The command holds the pipe, nothing is written to it, and it closes with this process.
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            env=dict(variables),
            # Ray also kills the process group of a worker that has ended.
            start_new_session=True,
        )
        return process.wait()
