"""What a worker process is: how it starts, what it ignores, when it ends, and how it does a task."""

import ctypes
import gc
import multiprocessing
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing import context
from typing import Any

import torch

from video_rs.runtime.result_file import ResultFile
from video_rs.runtime.signals import STOPPING

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's <sys/prctl.h>


class _KilledAtOnce:
    """A process that Pebble's ``terminate`` kills: workers ignore SIGTERM, and Pebble would wait three seconds."""

    def terminate(self) -> None:
        self.kill()


class _SpawnedProcess(_KilledAtOnce, context.SpawnProcess):
    pass


class _SpawnContext(context.SpawnContext):
    Process = _SpawnedProcess


CONTEXTS: dict[str, multiprocessing.context.BaseContext] = {"spawn": _SpawnContext()}
"""Start method -> the context that Pebble starts workers with."""

if sys.platform == "linux":

    class _ForkedProcess(_KilledAtOnce, context.ForkProcess):
        pass

    class _ForkContext(context.ForkContext):
        Process = _ForkedProcess

    CONTEXTS["fork"] = _ForkContext()


class _Work:
    """What this worker process does; set once, when it starts."""

    function: Callable[..., Any]
    results: ResultFile


def start_worker(function: Callable[..., Any], results: ResultFile, parent: int) -> None:
    """Make this process a worker: Pebble calls it first.

    Args:
        function: called with the arguments of each task.
        results: takes what it returns.
        parent: number of the process that asked for this one.
    """
    _end_with(parent)

    # Schedulers and terminals signal the whole group. The parent saves its state first, and needs its workers for that.
    for kind in STOPPING:
        signal.signal(kind, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    # One worker is one thread. The threads of the parent's OpenMP are not there in a forked process: to wait for them
    # would be for ever.
    torch.set_num_threads(1)

    # The collector would write to each object that was inherited, and a page that is written to is a page copied.
    gc.freeze()

    _Work.function = staticmethod(function)
    _Work.results = results


def _end_with(parent: int) -> None:
    """Have this process killed when its parent ends, even in the middle of a task that hangs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    # The parent may have ended before the request.
    if os.getppid() != parent:
        os._exit(0)


def do_task(place: int, arguments: tuple) -> tuple[bool, list[int]]:
    """Call the function, and write its result, or the exception that it raised, to a place of the result file.

    Returns:
        Whether ``function`` returned, and the bytes of the parts that were written.
    """
    _Work.results.claim(place)
    try:
        value = _Work.function(*arguments)
        return True, _Work.results.write(place, value)
    except Exception as error:  # noqa: BLE001 - raised by the parent
        return False, _Work.results.write(place, _portable(error))


def _portable(error: Exception) -> Exception:
    """Return the exception with its traceback as a note, or in words where it cannot be pickled and unpickled."""
    text = f"in a worker process:\n{traceback.format_exc()}"
    error.add_note(text)
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:  # noqa: BLE001 - its text can travel
        return RuntimeError(f"{type(error).__name__} {text}")
