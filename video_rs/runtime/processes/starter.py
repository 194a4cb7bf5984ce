"""The parent's handle on the starter process: one for all streams, there as long as one of them is."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from video_rs.runtime.errors import InputError
from video_rs.runtime.processes.wire import packed, receive, send
from video_rs.runtime.signals import STOPPING

# Each worker is one thread; libraries that start threads of their own read these when they are loaded.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Starter:
    """Starts and ends workers. Use :func:`lease` and :func:`give_back`."""

    def __init__(self):
        if os.name != "posix":
            raise InputError("worker processes need Linux or macOS; set DATA.NUM_WORKERS 0")
        self.owner, self.users = os.getpid(), 0
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair()
        environment = {**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        # Blocked in the new process from its first moment on: it takes seconds until it can say that it ignores them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            with theirs:
                self._process = subprocess.Popen(
                    # -P: what this process would import, and nothing from the folder that it was started in.
                    [sys.executable, "-P", "-m", "video_rs.runtime.processes.worker", str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def start(self, function: Callable[..., Any]) -> tuple[socket.socket, int]:
        """A new worker's connection and process number. RuntimeError where the starter cannot make one."""
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            try:
                send(self._control, packed(("start", pickle.dumps(function))))
                socket.send_fds(self._control, [b"!"], [theirs.fileno()])
                worker, problem = receive(self._control)
            except (EOFError, ConnectionError):
                worker, problem = 0, f"their starter ended with code {self._process.wait()}"
        if not worker:
            ours.close()
            raise RuntimeError(f"worker processes cannot start: {problem}")
        return ours, worker

    def end(self, worker: int) -> int | None:
        """Kills a worker, if it still lives: the signal that ended it, 0 for none, None where that is unknown."""
        with self._lock:
            try:
                send(self._control, packed(("end", worker)))
                status = receive(self._control)
            except (EOFError, ConnectionError):
                return None
        return None if status is None else os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0

    def close(self) -> None:
        """Ends the starter and with it all workers."""
        self._control.close()
        self._process.wait()


_guard = threading.Lock()
_current: list[Starter] = []


def lease() -> Starter:
    """The starter of this process, made for its first user."""
    with _guard:
        if _current and _current[0].owner != os.getpid():  # this process is a fork: the starter is its parent's
            _current.clear()
        if not _current:
            _current.append(Starter())
        _current[0].users += 1
        return _current[0]


def give_back(starter: Starter) -> None:
    """Ends the starter with its last user."""
    with _guard:
        starter.users -= 1
        if starter.users == 0:
            starter.close()
            _current.remove(starter)


def how_it_ended(number: int | None) -> str:
    """Words for what :meth:`Starter.end` gave."""
    if number == signal.SIGKILL:
        return "its reading process was killed, most likely because memory ran out"
    known = {kind.value: kind.name for kind in signal.Signals}
    name = f" of {known.get(number, f'signal {number}')}" if number else ""
    return f"its reading process died{name}"
