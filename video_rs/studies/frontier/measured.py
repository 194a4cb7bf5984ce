"""What has been measured of views, in a file: the seconds of every call, group by group, and the costs that follow."""

import dataclasses
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from video_rs.benchmarks.measuring import Measurement, spread
from video_rs.runtime.atomic import write_json
from video_rs.runtime.errors import InputError

BEFORE = "measured_before.json"


@dataclass(frozen=True)
class View:
    """A network and the clip that it is measured at.

    Attributes:
        name: what the row is called; each has its own.
        is_ours: whether it is run with our settings, and by our engines.
        network: what benchmarks call it.
        frames, size: of the clip ``[3, frames, size, size]``.
        checkpoint: of a trained run; "" for fresh weights.
        built_of: what a trained run's network is built of, as JSON; "" where the name says it.
    """

    name: str
    is_ours: bool
    network: str
    frames: int
    size: int
    checkpoint: str = ""
    built_of: str = ""


@dataclass(frozen=True)
class Cost:
    """What a view costs.

    Attributes:
        seconds: of one view alone.
        spread: of these seconds, interquartile range over median.
        views_per_s: several at once.
        peak_memory_mb: of the process of one view; None where the system hides it.
    """

    seconds: float
    spread: float
    views_per_s: float
    peak_memory_mb: float | None


class Measured:
    """What has been measured, kept in a file after every group: the same command goes on after a stop.

    Args:
        path: of the file; it is read if there is one.
        setting: of all that is in it, plain data. What was measured with another one is dropped.
    """

    def __init__(self, path: Path, setting: Mapping[str, Any]):
        self._path = path
        self._setting = dict(setting)
        self._groups: list[dict[str, Any]] = []
        self.dropped = False
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            self.dropped = content["setting"] != self._setting
            groups = content["groups"]
            # Refuses other content now, and not after an hour.
            for group in groups:
                if not all("view" in found for found in group["views"]):
                    raise KeyError("view")
            if not self.dropped:
                self._groups = groups
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"cannot read {path}: {error!r}; remove it to measure anew") from error

    def has(self, view: View) -> bool:
        """Return whether a view is measured."""
        return any(found["view"] == dataclasses.asdict(view) for found in self._found())

    def add(self, reference: Measurement, views: Sequence[tuple[View, Sequence[Measurement]]]) -> None:
        """Take in a group, and write the file."""
        found = []
        for view, (alone, *several) in views:
            found.append(
                {
                    "view": dataclasses.asdict(view),
                    "seconds": alone.samples["seconds"],
                    "batch_seconds": [one.samples["seconds"] for one in several],
                    "peak_memory_mb": alone.end.get("peak_memory_mb"),
                }
            )
        # Hours of another setting stay.
        if self.dropped and not self._groups:
            self._path.replace(self._path.with_name(BEFORE))
        self._groups.append({"reference_seconds": reference.samples["seconds"], "views": found})
        write_json(self._path, {"setting": self._setting, "groups": self._groups})

    def _found(self) -> Iterator[dict[str, Any]]:
        for group in self._groups:
            yield from group["views"]

    def costs(self, views: Sequence[View], batch: int) -> dict[str, Cost]:
        """Return name -> cost of those views that are measured.

        Args:
            views: any.
            batch: views at once in ``batch_seconds``.
        """
        wanted = {json.dumps(dataclasses.asdict(view)): view.name for view in views}
        groups = [group for group in self._groups if any(json.dumps(one["view"]) in wanted for one in group["views"])]
        everywhere = [statistics.median(group["reference_seconds"]) for group in groups]

        # Each group by how fast the machine was when it was measured.
        costs = {}
        for group in groups:
            # How much slower the machine was than usual.
            slowness = statistics.median(group["reference_seconds"]) / statistics.median(everywhere)
            for one in group["views"]:
                name = wanted.get(json.dumps(one["view"]))
                if name is not None:
                    costs[name] = _cost(one, slowness, batch)
        return costs


def _cost(found: Mapping[str, Any], slowness: float, batch: int) -> Cost:
    """Return the cost of a view as it would be at the machine's usual speed."""
    seconds = statistics.median(found["seconds"]) / slowness

    # With a batch of one, nothing else has been measured.
    views_per_s = 1 / seconds
    for batch_seconds in found["batch_seconds"]:
        views_per_s = batch * slowness / statistics.median(batch_seconds)

    return Cost(seconds, spread(found["seconds"]), views_per_s, found["peak_memory_mb"])
