"""Runs on a SLURM cluster: an array job that is written here, and handed in by the user."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from video_rs.runtime.atomic import replace_text
from video_rs.runtime.progress import print_line
from video_rs.runtime.wording import pluralize
from video_rs.studies.progress import StudyProgress
from video_rs.studies.study import Study

SCRIPT = """#!/bin/bash
# One task for each line of slurm_runs.sh. Change what your cluster wants otherwise, and hand it in:
#     sbatch {script}
# Two minutes before its time is up a task is told to stop, saves, and queues again. A finished run ends at once.
#SBATCH --job-name=video_rs_study
#SBATCH --array=1-{count}%{jobs}
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node={processes}
#SBATCH --cpus-per-task={cpus}
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --open-mode=append
#SBATCH --output={output}

run=$(sed -n "${{SLURM_ARRAY_TASK_ID}}p" {runs})
eval "exec $run" &
steps=$!
trap 'again=1; kill -TERM "$steps"' TERM
wait "$steps"
code=$?
if [ -n "$again" ]; then
    wait "$steps"  # the first wait ended with the signal, this one with the saving
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID"
fi
exit "$code"
"""
CPUS = 8  # for each process, to read clips with


@dataclass(frozen=True)
class SlurmEngine:
    """Writes the array job of a study.

    Attributes:
        jobs: tasks at a time, at most.
        processes: of each run, each with a GPU.
    """

    jobs: int = 1
    processes: int = 1

    def __call__(self, study: Study, names: Sequence[str], progress: StudyProgress) -> Mapping[str, str]:
        """Write ``slurm_runs.sh``, a run a line, and ``slurm.sh``, the job; nothing runs here."""
        folder = study.folder.resolve()
        runs = folder / "slurm_runs.sh"
        script = folder / "slurm.sh"
        replace_text(runs, "".join(f"{self._line(study, name)}\n" for name in names))
        text = SCRIPT.format(
            script=shlex.quote(str(script)),
            runs=shlex.quote(str(runs)),
            # sbatch takes quotes as a shell does, and "%" as the start of a number.
            output=shlex.quote(f"{str(folder).replace('%', '%%')}/slurm_%a.txt"),
            count=len(names),
            jobs=self.jobs,
            processes=self.processes,
            cpus=CPUS * self.processes,
        )
        replace_text(script, text)
        print_line(f"{pluralize(len(names), 'run')} as an array job: sbatch {shlex.quote(str(script))}")
        print_line(f"when they have ended: video-rs study {shlex.quote(str(folder))}")
        return {}

    def _line(self, study: Study, name: str) -> str:
        """Return the command of a run."""
        start = "video-rs"
        if self.processes > 1:
            start = f"torchrun --standalone --nproc-per-node {self.processes} -m video_rs"
        folder = shlex.quote(str(study.folder.resolve()))
        return f"env OMP_NUM_THREADS={study.threads} {start} study {folder} --only {shlex.quote(name)}"
