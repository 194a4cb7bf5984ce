"""Results in the order of their tasks, while workers do the next ones."""

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from video_rs.runtime.processes.starter import Starter, give_back, how_it_ended, lease
from video_rs.runtime.processes.wire import packed, receive, send

_AT_HAND = 2  # tasks that a worker has: the one that it does, and the next, so that it never waits for one


class Lost(NamedTuple):
    """In place of the result of a task that hung, or whose process died."""

    reason: str
    hung: bool  # it took longer than the time limit


class _Task(NamedTuple):
    number: int
    arguments: tuple


@dataclass
class _Worker:
    connection: socket.socket
    process: int
    tasks: deque[_Task] = field(default_factory=deque)  # the first is being done
    since: float = 0.0  # when it began with it


def in_processes(
    function: Callable[..., Any], tasks: Iterable[tuple], *, processes: int, time_limit: float, ahead: int
) -> Iterator[Any]:
    """``function(*task)`` of each task, in the order of the tasks; :class:`Lost` where it hung or its process died.

    Args:
        function: picklable; everything that all tasks share.
        tasks: tuples of picklable arguments, some kilobytes at most (a result may be large), taken as they are needed,
            by another thread.
        processes: how many tasks are done at once, at least 1.
        time_limit: seconds for one task.
        ahead: how many tasks may be taken before their results are asked for, at least ``processes``.

    Raises:
        RuntimeError: no process can be started.
        Exception: what ``function`` raised, in place of the result, or what the tasks' iterator raised.
    """
    stream = _Stream(function, tasks, processes, time_limit, ahead)
    try:
        while (result := stream.next()) is not _END:
            yield result
    finally:
        stream.close()


_END = object()


class _Stream:
    """The thread that hands out tasks and collects results; it never waits for whoever takes the results."""

    def __init__(self, function, tasks, processes: int, time_limit: float, ahead: int):
        self.function, self.processes, self.time_limit, self.ahead = function, processes, time_limit, ahead
        self.fresh = map(_Task._make, enumerate(tasks))
        self.again: deque[_Task] = deque()  # of workers that were lost
        self.taken = self.given = 0
        self.results: dict[int, tuple[bool, Any]] = {}
        self.exhausted = self.closed = self.over = False
        self.error: BaseException | None = None
        self.changed = threading.Condition()
        self.selector = selectors.DefaultSelector()
        self.bell, self.ear = socket.socketpair()  # wakes the thread
        self.bell.setblocking(False)
        self.selector.register(self.ear, selectors.EVENT_READ)
        self.workers: list[_Worker] = []
        self.thread = threading.Thread(target=self._run, daemon=True, name="video_rs reading")
        self.thread.start()

    # -- called by whoever takes the results

    def next(self) -> Any:
        """The next result, ``_END`` after the last."""
        with self.changed:
            self.changed.wait_for(lambda: self.given in self.results or self.over)
            if self.given not in self.results:
                if self.error:
                    raise self.error
                return _END
            right, value = self.results.pop(self.given)
            self.given += 1
        self._ring()
        if not right:
            raise value
        return value

    def close(self) -> None:
        """Ends the thread and its workers, whatever they are doing."""
        self.closed = True
        self._ring()
        self.thread.join()
        self.bell.close()
        self.ear.close()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it is full: the thread has not come to what was rung before
            self.bell.send(b"!")

    # -- the thread

    def _run(self) -> None:
        starter = None
        try:
            starter = lease()
            self._supervise(starter)
        except BaseException as error:  # noqa: BLE001 - raised where the results are taken
            self.error = error
        finally:
            for worker in self.workers:
                self._dismiss(starter, worker)
            self.selector.close()
            if starter:
                give_back(starter)
            with self.changed:
                self.over = True
                self.changed.notify_all()

    def _supervise(self, starter: Starter) -> None:
        for _ in range(self.processes):
            self._hire(starter)
        while not self.closed:
            self._hand_out()
            busy = [worker for worker in self.workers if worker.tasks]
            if self.exhausted and not busy:
                return
            deadline = min((worker.since for worker in busy), default=float("inf")) + self.time_limit
            patience = max(0.0, deadline - time.monotonic()) if busy else None
            for key, _ in self.selector.select(patience):
                if key.data is None:
                    key.fileobj.recv(4096)
                else:
                    self._collect(starter, key.data)
            for worker in self.workers[:]:
                if worker.tasks and time.monotonic() - worker.since >= self.time_limit:
                    self._lose(starter, worker, hung=True)

    def _hire(self, starter: Starter) -> None:
        connection, process = starter.start(self.function)
        connection.settimeout(self.time_limit)  # for a worker that stops in the middle of its answer
        worker = _Worker(connection, process)
        self.selector.register(connection, selectors.EVENT_READ, worker)
        self.workers.append(worker)

    def _dismiss(self, starter: Starter, worker: _Worker) -> int | None:
        self.selector.unregister(worker.connection)
        worker.connection.close()
        return starter.end(worker.process)

    def _hand_out(self) -> None:
        """Fills the workers' hands, the emptiest first."""
        for depth in range(_AT_HAND):
            for worker in self.workers:
                if len(worker.tasks) == depth:
                    task = self._next_task()
                    if task is None:
                        return
                    if not worker.tasks:
                        worker.since = time.monotonic()
                    worker.tasks.append(task)
                    with contextlib.suppress(ConnectionError):  # it has died, and reading from it will say so
                        send(worker.connection, packed(task.arguments))

    def _next_task(self) -> _Task | None:
        if self.again:
            return self.again.popleft()
        if self.exhausted or self.taken - self.given >= self.ahead:
            return None
        task = next(self.fresh, None)
        self.exhausted = task is None
        self.taken += task is not None
        return task

    def _collect(self, starter: Starter, worker: _Worker) -> None:
        try:
            answer = receive(worker.connection)
        except EOFError:
            self._lose(starter, worker, hung=False)
        except TimeoutError:
            self._lose(starter, worker, hung=True)
        else:
            self._deliver(worker.tasks.popleft(), answer)
            worker.since = time.monotonic()

    def _lose(self, starter: Starter, worker: _Worker, hung: bool) -> None:
        """Ends a worker; its first task is lost, the others come again, and another worker takes its place."""
        self.workers.remove(worker)
        number = self._dismiss(starter, worker)
        if worker.tasks:
            lost = worker.tasks.popleft()
            self.again.extendleft(reversed(worker.tasks))
            too_long = f"not read within {self.time_limit:g} s; its process was stopped"
            self._deliver(lost, (True, Lost(too_long if hung else how_it_ended(number), hung)))
        self._hire(starter)

    def _deliver(self, task: _Task, answer: tuple[bool, Any]) -> None:
        with self.changed:
            self.results[task.number] = answer
            self.changed.notify_all()
