"""Which videos of a shard were before the teacher when its process died: whoever does the shard again knows them.

A process writes a line into a file beside the shard before each forward pass and another one after it, and removes the
file when the shard is finished. Forward passes that nothing followed are therefore those of dead processes. Videos that
were in such a forward pass are suspects: the next process shows them to the teacher alone before it labels anything. A
suspect on which that process dies, too, has killed twice, and is not read again.
"""

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

# The words of the lines: a process begins, a forward pass of some videos, one of a suspect alone, and surviving either.
BEGIN = "begin"
TOGETHER = "together"
ALONE = "alone"
SURVIVED = "survived"
# Of processes in a forward pass with the same videos, each of which survives alone: they are all left out then.
MOST_DEATHS = 3


@dataclass(frozen=True)
class Deaths:
    """What is known of a shard's dead processes.

    Attributes:
        suspects: places in the shard of videos that are to be tried alone.
        killers: place in the shard -> how many processes it has killed, of videos that are not to be read again.
    """

    suspects: frozenset[int]
    killers: dict[int, int]


def read_deaths(path: Path) -> Deaths:
    """Return what the file beside a shard says; no file: nothing has happened."""
    text = ""
    if path.exists():
        text = path.read_text(encoding="ascii", errors="replace")
    # A line without its end was cut short by the death: its forward pass had not begun.
    whole_lines = text.split("\n")[:-1]

    together: Counter[int] = Counter()
    killers = {}
    for line, following in pairwise([*whole_lines, BEGIN]):
        if following != BEGIN:
            continue
        word, *places = line.split()
        if word == TOGETHER:
            together.update(map(int, places))
        elif word == ALONE:
            killers[int(places[0])] = 2

    for place, count in together.items():
        if count >= MOST_DEATHS:
            killers.setdefault(place, count)
    return Deaths(frozenset(together) - set(killers), killers)


class Watch:
    """Stands between the videos of a shard and the teacher, and writes down which of them the teacher sees.

    Args:
        path: of the file beside the shard.
        teacher: uint8 views ``[B, 3, T, h, w]`` -> probabilities.
        batch: views at a time.
    """

    def __init__(self, path: Path, teacher: Callable[[Tensor], Tensor], batch: int):
        self._teacher = teacher
        self._batch = batch
        self._deaths = read_deaths(path)
        # Places of the videos whose views the teacher has not seen, and how many views these are.
        self._waiting: deque[tuple[int, int]] = deque()
        self._is_judging = False
        # Without a buffer: what was written is there after any death of this process.
        self._file = path.open("ab", buffering=0)
        self._write(BEGIN)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def videos(self, items: Iterable[Any]) -> Iterator[Any]:
        """Pass on the videos of the shard; one that has killed its process twice is one that could not be read."""
        for place, item in enumerate(self._noting_survival(items)):
            if place in self._deaths.killers:
                item = self._without_frames(item, self._deaths.killers[place])
            elif place in self._deaths.suspects and item.error is None:
                self._try_alone(place, item)
            if item.error is None:
                self._waiting.append((place, item.num_views))
            yield item

    def probabilities(self, views: Tensor) -> Tensor:
        """Return what the teacher says of the next views."""
        places = self._take(len(views))
        self._write(TOGETHER, *places)
        self._is_judging = True
        return self._teacher(views)

    def _noting_survival(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the items, and write before each is read that the forward pass before it was survived.

        The answers of that pass are on the CPU by then, so that a GPU cannot die of it later. Who dies while the next
        video is read does not die of those that were judged.
        """
        unread = iter(items)
        while True:
            if self._is_judging:
                self._write(SURVIVED)
                self._is_judging = False
            try:
                item = next(unread)
            except StopIteration:
                return
            yield item

    @torch.inference_mode()
    def _try_alone(self, place: int, item: Any) -> None:
        """Show a video to the teacher, whose answer is given up: it comes again in the batch where it belongs."""
        self._write(ALONE, place)
        for views in item.views(self._batch):
            # The copy waits for a GPU, which would else die later.
            self._teacher(views).cpu()
        self._write(SURVIVED)

    def _take(self, views: int) -> list[int]:
        """Return the places of the videos that the next views are of."""
        places = []
        while views:
            place, left = self._waiting.popleft()
            places.append(place)
            taken = min(views, left)
            views -= taken
            if left > taken:
                self._waiting.appendleft((place, left - taken))
        return places

    def _without_frames(self, item: Any, deaths: int) -> Any:
        """Return a video as one that could not be read."""
        times = "twice" if deaths == 2 else f"{deaths} times"
        return dataclasses.replace(item, frames=None, clips=None, error=f"killed its process {times}")

    def _write(self, word: str, *places: int) -> None:
        self._file.write((" ".join([word, *map(str, places)]) + "\n").encode("ascii"))
