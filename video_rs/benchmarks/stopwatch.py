"""Where the seconds of a pipeline go."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch

_END = object()


class Stopwatch:
    """Adds up the seconds of some part of the work.

    Args:
        device: "cpu" or "cuda", whose work is waited for.

    Attributes:
        seconds: so far.
    """

    def __init__(self, device: str = "cpu"):
        self.seconds = 0.0
        self._device = device

    def reset(self) -> None:
        """Begin at 0 again."""
        self.seconds = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose calls are timed."""

        def call(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                value = function(*arguments)
                if self._device == "cuda":
                    torch.cuda.synchronize()
            finally:
                self.seconds += time.perf_counter() - started
            return value

        return call

    def waits(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the items; the time that each of them takes to come is added, and not what is done with it."""
        iterator = iter(items)
        fetch = self.timed(lambda: next(iterator, _END))
        while (item := fetch()) is not _END:
            yield item
