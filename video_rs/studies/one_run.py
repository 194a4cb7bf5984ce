"""One run of a study, from wherever it was to its end: the work of a process."""

import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping

import torch

from video_rs.runs.run_folder import RunFolder
from video_rs.runs.test import run_test
from video_rs.runs.train import run_training
from video_rs.runtime import distributed
from video_rs.runtime.atomic import write_json
from video_rs.studies.locks import lock_file, only_process
from video_rs.studies.seconds import Seconds
from video_rs.studies.study import TRAINING, Study, StudyRun
from video_rs.studies.transfer.feature_runs import fit_and_test, let_neighbours_vote
from video_rs.studies.transfer.sources import require_known_weights


def train_and_test(study: Study, run: StudyRun) -> Seconds:
    """Train a run from wherever it is, and test it."""
    started = time.time()
    run_training(study.config(run), resume=True)
    trained = time.time()
    run_test(str(study.run_folder(run)))
    return Seconds(trained - started, time.time() - trained)


WORK: Mapping[str, Callable[[Study, StudyRun], Seconds]] = {
    TRAINING: train_and_test,
    "knn": let_neighbours_vote,
    "linear_features": fit_and_test,
}
"""What a run may do, by name: each leaves a test in ``test/`` of the run's folder, and goes on where it was stopped."""


def do_run(study: Study, name: str) -> None:
    """Do a run of a study; what of it is done already stays.

    Raises:
        InputError: there is no such run, another process is at it, the weights that it starts from have been replaced,
            or training or testing refuse it.
        Stopped: told to stop; the state is saved.
    """
    run = study.run(name)
    if study.is_finished(run):
        return

    torch.set_num_threads(study.threads)
    folder = study.run_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    with only_process(lock_file(folder)):
        resumed = (folder / "log.jsonl").exists()
        # A run that goes on has its weights already.
        if not RunFolder(folder).last.is_file():
            require_known_weights(study, run)
        seconds = WORK[run.work](study, run)

    if distributed.rank() == 0:
        done = {
            "training_seconds": round(seconds.training, 2),
            "test_seconds": round(seconds.test, 2),
            # Then the seconds are those since.
            "resumed": resumed,
            "threads": study.threads,
            "torch": torch.__version__,
            "machine": platform.processor() or platform.machine(),
        }
        write_json(folder / "done.json", done)


def stop_with_parent() -> None:
    """Stop this process as SIGTERM does, state saved, when the process that started it ends, however that happens.

    That process holds the other end of our standard input, and writes nothing.
    """
    source = sys.stdin.fileno()
    threading.Thread(target=_stop_at_end_of, args=(source,), daemon=True, name="video_rs parent").start()


def _stop_at_end_of(source: int) -> None:
    while os.read(source, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
