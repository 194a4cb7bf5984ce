"""One run of a study, from wherever it was to its end: the work of a process."""

import fcntl
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from video_rs.runs.test import run_test
from video_rs.runs.train import run_training
from video_rs.runtime import distributed
from video_rs.runtime.atomic import write_json
from video_rs.runtime.errors import InputError
from video_rs.studies.study import Study

LOCK_SECONDS = 30.0
"""For so long a run waits for a process of before, which is saving its state, to end."""


def do_run(study: Study, name: str) -> None:
    """Train a run of a study and test it; what of that is done already stays.

    Raises:
        InputError: there is no such run, another process is at it, or training or testing refuse it.
        Stopped: told to stop; the state is saved.
    """
    run = study.run(name)
    if study.is_finished(run):
        return

    torch.set_num_threads(study.threads)
    folder = study.run_folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    with only_process(folder / "lock"):
        resumed = (folder / "log.jsonl").exists()
        started = time.time()
        run_training(study.config(run), resume=True)
        trained = time.time()
        run_test(str(folder))
        tested = time.time()

    if distributed.rank() == 0:
        done = {
            "training_seconds": round(trained - started, 2),
            "test_seconds": round(tested - trained, 2),
            # Then the seconds are those since.
            "resumed": resumed,
            "threads": study.threads,
            "torch": torch.__version__,
            "machine": platform.processor() or platform.machine(),
        }
        write_json(folder / "done.json", done)


@contextmanager
def only_process(path: Path) -> Iterator[None]:
    """Hold a lock on a file, which goes with the process, however that ends; ranks above 0 need none.

    Raises:
        InputError: another process holds it, and does not end.
    """
    if distributed.rank() > 0 or os.environ.get("RANK", "0") != "0":
        yield
        return

    with path.open("a", encoding="utf-8") as file:
        end = time.monotonic() + LOCK_SECONDS
        while not _locked(file.fileno()):
            if time.monotonic() > end:
                raise InputError(
                    f"another process is at {path.parent}; wait for it, or end it, and give the command again"
                )
            time.sleep(0.2)
        yield


def _locked(descriptor: int) -> bool:
    """Take the lock of a file; return whether nobody else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
