"""Worker processes that do one task after the other: one that hangs or dies costs its task, and is replaced.

Pebble's process pool keeps the workers, gives each task its time limit and replaces the workers that it loses. On top
of it come the order of the results, a window of tasks that are done ahead, a file for large results
(:mod:`video_rs.runtime.result_file`), and what Pebble's pool does not survive: the death of a worker without a task.
"""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, NamedTuple

import psutil
from pebble import ProcessExpired, ProcessPool

from video_rs.runtime.errors import InputError
from video_rs.runtime.result_file import ResultFile
from video_rs.runtime.signals import STOPPING
from video_rs.runtime.worker_process import CONTEXTS, do_task, start_worker

_LONGEST = 1_000_000  # seconds for one file; the system's clocks for waiting take not much more
_LOOK = 1.0  # seconds between looks whether the worker of an overdue task lives
_MOST_RESTARTS = 3  # of a pool, one after the other, without a single result in between

FORK = "fork" if sys.platform == "linux" else "spawn"
"""Start workers as copies of this process, where that is safe: they are there at once and share its memory."""
SPAWN = "spawn"
"""Start workers as new processes, for work that needs a GPU: CUDA does not survive a fork."""


class Lost(NamedTuple):
    """In place of the result of a task that hung, or whose process died."""

    reason: str
    hung: bool  # it took longer than the time limit


def check_limits(processes: int, time_limit: float) -> None:
    """Check the options of a command.

    Raises:
        InputError: :func:`in_workers` cannot work with them.
    """
    if processes < 1:
        raise InputError(f"--processes: got {processes}, allowed: from 1")
    if not 0 < time_limit <= _LONGEST:
        raise InputError(f"--time-limit: got {time_limit}, allowed: above 0, to {_LONGEST} (seconds for one file)")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(psutil.Process, "cpu_affinity"):
        return len(psutil.Process().cpu_affinity())
    return os.cpu_count() or 1


def share_of_cores() -> int:
    """Return how many cores are this process's where torchrun has started several on the machine; at least 1."""
    return max(1, usable_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def in_workers(
    function: Callable[..., Any],
    tasks: Iterable[tuple],
    *,
    processes: int,
    time_limit: float,
    ahead: int,
    start_method: str = FORK,
) -> Iterator[Any]:
    """Yield ``function(*task)`` of each task, in the order of the tasks; :class:`Lost` where it hung or died.

    Args:
        function: with everything that all tasks share; picklable where workers are spawned.
        tasks: tuples of picklable arguments, some kilobytes at most (a result may be large), taken as they are needed.
        processes: how many tasks are done at once, at least 1.
        time_limit: seconds for one task.
        ahead: how many tasks may be taken before their results are asked for, at least ``processes``.
        start_method: :data:`FORK` or :data:`SPAWN`.

    Raises:
        RuntimeError: no process can be started.
        Exception: what ``function`` raised, in place of its result, or what the tasks' iterator raised.
    """
    if os.name != "posix":
        raise InputError("worker processes need Linux or macOS; set DATA.NUM_WORKERS 0")

    window: deque[_Task] = deque()
    with _Workers(function, processes, time_limit, start_method) as workers:
        for number, arguments in enumerate(tasks):
            # No more than ``ahead`` tasks are in the window at a time, and a place is free again when its task leaves.
            task = _Task(number % ahead, arguments)
            window.append(task)
            workers.schedule(task)
            if len(window) == ahead:
                yield workers.result(window)
        while window:
            yield workers.result(window)


@dataclass
class _Task:
    """A task in the window.

    Attributes:
        place: of its result in the result file.
        arguments: of the function.
        future: Pebble's, of the last time that the task was scheduled.
    """

    place: int
    arguments: tuple
    future: Future | None = None

    def fail(self, error: Exception) -> None:
        """Give the task an exception, which Pebble has not given it."""
        self.future = Future()
        self.future.set_exception(error)

    def is_unfinished(self) -> bool:
        """Return whether the task has to be done once more after its pool is broken."""
        return not self.future.done() or isinstance(self.future.exception(), BrokenProcessPool)


class _Workers:
    """A pool of workers for one function, which is made anew where Pebble gives it up."""

    def __init__(self, function: Callable[..., Any], processes: int, time_limit: float, start_method: str):
        self._function = function
        self._processes = processes
        self._time_limit = time_limit
        self._context = CONTEXTS[start_method]
        self._restarts = 0
        self._results = ResultFile.create()
        self._pool = self._new_pool()

    def __enter__(self) -> "_Workers":
        return self

    def __exit__(self, *exc_info) -> None:
        self._end_pool()
        self._results.close()

    def schedule(self, task: _Task) -> None:
        """Give a task to the pool, which does it when a worker is free."""
        # New threads and processes inherit what is blocked: a worker hears no signal before it can say that it ignores
        # it, and signals for this process do not reach Pebble's threads.
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            task.future = self._pool.schedule(do_task, args=(task.place, task.arguments), timeout=self._time_limit)
        except RuntimeError as error:  # the pool is broken, which shows when the result is asked for
            task.fail(BrokenProcessPool(str(error)))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    def result(self, window: deque[_Task]) -> Any:
        """Wait for the first task of the window and take it out; return its result, or raise its exception."""
        while not self._is_done(window[0]):
            self._restart(window)
        self._restarts = 0

        task = window.popleft()
        try:
            return self._result_of(task)
        finally:
            self._results.clear(task.place)

    def _is_done(self, task: _Task) -> bool:
        """Wait until a task is done or lost; return False where the pool breaks before."""
        was_gone = False
        while not wait([task.future], timeout=_LOOK).done:
            if not self._pool.active:
                return False

            # Pebble overlooks some deaths, such as those with exit code 0; the task would wait for its time limit.
            # Twice in a row, because a result may be on its way when its worker is gone.
            is_gone = self._worker_is_gone(task)
            if is_gone and was_gone:
                task.fail(ProcessExpired("overlooked"))
            was_gone = is_gone

        return not task.is_unfinished()

    def _result_of(self, task: _Task) -> Any:
        """Return the result of a task that is done, or raise its exception."""
        try:
            has_returned, sizes = task.future.result()
        except TimeoutError:
            return Lost(f"not read within {self._time_limit:g} s; its process was stopped", hung=True)
        except ProcessExpired as expired:
            return Lost(how_it_ended(expired.exitcode), hung=False)

        value = self._results.read(task.place, sizes)
        if not has_returned:
            raise value
        return value

    def _restart(self, window: Iterable[_Task]) -> None:
        """Make a new pool, which does what the broken one has left undone.

        A pool breaks when a worker dies that has no task, for instance in a pause of whoever takes the results.
        """
        self._restarts += 1
        if self._restarts > _MOST_RESTARTS:
            raise RuntimeError("worker processes cannot start; what they wrote to stderr says why")

        unfinished = [task for task in window if task.is_unfinished()]
        for task in unfinished:
            if self._worker_is_gone(task):
                task.fail(ProcessExpired("noticed late"))

        self._end_pool()
        self._pool = self._new_pool()
        for task in unfinished:
            if task.is_unfinished():
                self._results.clear(task.place)
                self.schedule(task)

    def _worker_is_gone(self, task: _Task) -> bool:
        """Return whether the worker that has begun a task is gone."""
        owner = self._results.owner(task.place)
        return owner != 0 and not psutil.pid_exists(owner)

    def _new_pool(self) -> ProcessPool:
        initial = (self._function, self._results, os.getpid())
        return ProcessPool(self._processes, initializer=start_worker, initargs=initial, context=self._context)

    def _end_pool(self) -> None:
        """Kill the workers, whatever they are doing."""
        self._pool.stop()
        self._pool.join()


def how_it_ended(exit_code: int) -> str:
    """Return words for the exit code of a worker, which is negative where a signal ended it."""
    if exit_code == -signal.SIGKILL:
        return "its reading process was killed, most likely because memory ran out"
    if exit_code >= 0:
        return "its reading process died"

    known = {kind.value: kind.name for kind in signal.Signals}
    name = known.get(-exit_code, f"signal {-exit_code}")
    return f"its reading process died of {name}"
