"""The other side: the starter, ``python -m video_rs.runtime.processes.worker FD``, and the workers that it forks."""

import contextlib
import ctypes
import os
import pickle
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from video_rs.runtime.processes.wire import packed, receive, send
from video_rs.runtime.signals import STOPPING

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's <sys/prctl.h>
_PATIENCE = 1.0  # seconds that a killed process may take; one that waits for a dead disk takes for ever


def main() -> None:
    """Forks and ends workers as the parent says, until it is gone: then they go too."""
    # Schedulers and terminals signal the whole group; the parent saves its state first and needs its workers for it.
    for kind in STOPPING:
        signal.signal(kind, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the starter's parent had blocked them until here
    control = socket.socket(fileno=int(sys.argv[1]))
    workers: set[int] = set()
    with contextlib.suppress(EOFError, ConnectionError):  # of sending: it may go while a worker is being started
        while True:
            order, content = receive(control)
            answer = _start(control, content, workers) if order == "start" else _end(content, workers)
            send(control, packed(answer))
    for worker in workers:
        os.kill(worker, signal.SIGKILL)


def _start(control: socket.socket, function: bytes, workers: set[int]) -> tuple[int, str]:
    """A new worker for the socket that comes with the order: its number, or 0 and why there is none."""
    _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
    if not descriptors:
        raise EOFError("the other side has gone")
    with socket.socket(fileno=descriptors[0]) as connection:
        try:
            work = pickle.loads(function)  # here, so that what it imports is there for all workers
        except Exception:  # noqa: BLE001 - raised by the parent
            return 0, traceback.format_exc()
        starter = os.getpid()
        worker = os.fork()
        if not worker:
            try:
                control.close()
                _die_with(starter)
                serve(connection, work)
            finally:
                os._exit(0)
    workers.add(worker)
    return worker, ""


def _die_with(starter: int) -> None:
    """Even a worker that hangs ends with the starter; elsewhere than on Linux, when it next looks for a task."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != starter:
            os._exit(0)


def _end(worker: int, workers: set[int]) -> int | None:
    """Kills a worker if it still lives: its exit status as of :func:`os.waitpid`, None where it does not end."""
    os.kill(worker, signal.SIGKILL)  # does nothing to one that is dead and not waited for
    workers.discard(worker)
    stop = time.monotonic() + _PATIENCE
    while time.monotonic() < stop:
        done, status = os.waitpid(worker, os.WNOHANG)
        if done:
            return status
        time.sleep(0.001)
    return None


def serve(connection: socket.socket, work: Callable[..., Any]) -> None:
    """Answers each task, a tuple of arguments, with ``(True, result)`` or ``(False, exception)``."""
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            arguments = receive(connection)
            try:
                answer = packed((True, work(*arguments)))
            except Exception as error:  # noqa: BLE001 - raised by the parent
                answer = _failure(error)
            send(connection, answer)


def _failure(error: Exception) -> list[memoryview]:
    text = f"in a worker process:\n{traceback.format_exc()}"
    error.add_note(text)
    try:
        answer = packed((False, error))
        pickle.loads(answer[1])
        return answer
    except Exception:  # noqa: BLE001 - it cannot travel: its text can
        return packed((False, RuntimeError(f"{type(error).__name__} {text}")))


if __name__ == "__main__":
    main()
