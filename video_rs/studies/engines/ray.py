"""Runs on a Ray cluster: a task a run, with its GPUs."""

import math
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from video_rs.runtime.ray_cluster import ray_cluster
from video_rs.studies.engines.stopping import StopRuns, stopped
from video_rs.studies.locks import lock_file, only_process
from video_rs.studies.progress import StudyProgress
from video_rs.studies.run_process import command, environment, failure, output_file
from video_rs.studies.study import Study

PAUSE = 1.0  # seconds between looks at the tasks

# When a worker of Ray ends, it would kill the run that it has started, which has to save its state.
LEAVE_RUNS = {"RAY_kill_child_processes_on_worker_exit": "0"}


@dataclass(frozen=True)
class RayEngine:
    """Does each run as a task of a Ray cluster, all machines of which see the folder of the study.

    Where RAY_ADDRESS names no cluster, Ray starts one on this machine. When this process is stopped, or ends in any
    other way, its runs save and stop; where a cluster was started to kill what its workers leave behind
    (RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper), they go on from their last checkpoint.

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
            Stopped: SIGTERM, SIGHUP or Ctrl-C; the state of each run is saved.
        """
        with ray_cluster() as ray:
            signals = StopRuns()
            signals.start()
            try:
                failed, left = self._do_runs(ray, study, names, progress, signals)
            finally:
                signals.close()
        if not signals.asked:
            return failed

        # These have lost their workers, and save. A Ctrl-C ends the wait.
        for name in left:
            lock = lock_file(study.run_folder(study.run(name)))
            if lock.exists():
                with only_process(lock, seconds=math.inf):
                    pass
        raise stopped()

    def _do_runs(
        self, ray: Any, study: Study, names: Sequence[str], progress: StudyProgress, signals: StopRuns
    ) -> tuple[dict[str, str], list[str]]:
        """Do the runs until there is a signal; return why those failed that did, and what was under way in the end."""
        task = ray.remote(do_in_process).options(**self._share(ray.cluster_resources()))
        waiting = list(names)
        running: dict[Any, str] = {}
        failed: dict[str, str] = {}
        while (waiting or running) and not signals.asked:
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
        return failed, list(running.values())

    def _share(self, cluster: Mapping[str, float]) -> dict[str, Any]:
        """Return what a task takes of a cluster: GPUs where it has any, else its share of the CPUs."""
        if cluster.get("GPU"):
            share = {"num_gpus": self.processes}
        else:
            share = {"num_cpus": min(self.processes, int(cluster["CPU"]))}
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
