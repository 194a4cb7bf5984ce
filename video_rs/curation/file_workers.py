"""Work on video files in other processes, where a decoder that hangs or crashes costs one file."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from video_rs.runtime.workers import check_limits, in_workers
from video_rs.video.fetching import register_handlers, with_handlers


@dataclass(frozen=True)
class FileWorkers:
    """How files are worked on in other processes.

    Attributes:
        processes: how many files are worked on at once.
        time_limit: seconds for one file.
        path_handlers: iopath handlers of URLs, ``module:Class``, which every process knows.
    """

    processes: int
    time_limit: float
    path_handlers: Sequence[str] = ()

    def check_limits(self) -> None:
        """Raise InputError for a number out of range."""
        check_limits(self.processes, self.time_limit)

    def register_handlers(self) -> None:
        """Make the path handlers known in this process.

        Raises:
            InputError: a handler cannot be made.
        """
        register_handlers(self.path_handlers)

    @contextmanager
    def results(self, function: Callable[..., Any], tasks: Iterable[tuple], ahead: int) -> Iterator[Iterator[Any]]:
        """Give an iterator over ``function(*task)`` of each task, in the order of the tasks.

        In place of the result of a task that hung or whose process died there is a
        :class:`video_rs.runtime.workers.Lost`.

        Args:
            function: picklable.
            tasks: tuples of picklable arguments.
            ahead: how many tasks may be taken before their results are asked for.
        """
        work = partial(with_handlers, self.path_handlers, function)
        stream = in_workers(work, tasks, processes=self.processes, time_limit=self.time_limit, ahead=ahead)
        with closing(stream) as results:
            yield results
