"""Worker processes for a server: each task that a thread brings has a time limit, and few tasks wait."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, NamedTuple, Self

from video_rs.runtime.errors import InputError
from video_rs.runtime.workers import Lost, in_workers


class Busy(Exception):
    """So many tasks wait that one more is not taken: whoever brings it has to come again."""


class _Task(NamedTuple):
    future: Future
    arguments: tuple


class TaskService:
    """Does tasks in processes of their own, each within its time limit; use it as a context manager.

    Args:
        function: called in a worker process; what it raises is raised again where the result is asked for.
        processes: how many tasks are done at once.
        time_limit: seconds for one task.
        most_waiting: how many more may wait.
    """

    def __init__(self, function: Callable[..., Any], processes: int, time_limit: float, most_waiting: int):
        self._function = function
        self._time_limit = time_limit
        self._tasks: queue.Queue[_Task | None] = queue.Queue(most_waiting)
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(processes)]
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info) -> None:
        self._closed.set()
        self._cancel_all()

        for _ in self._threads:
            # Where no place is free, all threads are busy; they end with their tasks.
            with contextlib.suppress(queue.Full):
                self._tasks.put_nowait(None)

        for thread in self._threads:
            thread.join(1.0)

    def submit(self, *arguments: Any) -> Future:
        """Return the future of ``function(*arguments)``; its result is a ``Lost`` where the process was lost.

        A task whose future is cancelled before it begins is not done.

        Raises:
            Busy: too many tasks wait.
        """
        future: Future = Future()
        try:
            self._tasks.put_nowait(_Task(future, arguments))
        except queue.Full:
            raise Busy from None

        return future

    def ask(self, *arguments: Any) -> Any:
        """Return ``function(*arguments)``, which returns text where it has no answer: why there is none.

        Raises:
            Busy: too many tasks wait.
            InputError: there is no answer, or the process was lost; it says why.
        """
        found = self.submit(*arguments).result()
        if isinstance(found, Lost):
            found = found.reason
        if isinstance(found, str):
            raise InputError(found)

        return found

    def _cancel_all(self) -> None:
        """Take all waiting tasks away."""
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            if task is not None:
                task.future.cancel()

    def _work(self) -> None:
        """Do tasks one after the other, until there is an end of them."""
        while not self._closed.is_set():
            begun: list[Future] = []
            results = in_workers(
                self._function, self._arguments(begun), processes=1, time_limit=self._time_limit, ahead=1
            )
            try:
                for result in results:
                    begun.pop().set_result(result)
            # What a task raises ends its workers; the next task has new ones.
            except Exception as error:
                if not begun:
                    raise
                begun.pop().set_exception(error)

    def _arguments(self, begun: list[Future]) -> Iterator[tuple]:
        """Yield the arguments of each task as it is needed; its future is in ``begun`` until it has a result."""
        while True:
            task = self._tasks.get()
            if task is None:
                return
            if task.future.set_running_or_notify_cancel():
                begun.append(task.future)
                yield task.arguments
