"""A frontier as it was found: its rows, how they were measured, and which points are on it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from video_rs.studies.frontier.dominance import Point
from video_rs.studies.frontier.measuring import Setting
from video_rs.studies.frontier.rows import Row, frontier_names, points_by_time, points_by_work


@dataclass(frozen=True)
class Frontier:
    """All that is drawn and said.

    Attributes:
        folder: where files go.
        rows: of networks, or of runs.
        are_runs: whether they are one's own runs, and not published networks.
        asked: how many should have been measured.
        failed: name -> why it could not be.
        setting: how they were measured.
        machine: of :func:`video_rs.benchmarks.machine.describe_machine`.
    """

    folder: Path
    rows: Sequence[Row]
    are_runs: bool
    asked: int
    failed: Mapping[str, str]
    setting: Setting
    machine: Mapping[str, Any]

    @property
    def thing(self) -> str:
        """What a row is."""
        return "run" if self.are_runs else "network"


def work_unit(found: Frontier) -> str:
    """Return the unit of the work of rows: of one's own runs multiply-adds, of others what their sources count."""
    return "GMAC" if found.are_runs else "GFLOPs"


def work_words(found: Frontier) -> str:
    """Return what the GFLOPs of rows are."""
    return "multiply-adds" if found.are_runs else "published GFLOPs"


def time_groups(found: Frontier) -> list[tuple[str, list[Point]]]:
    """Return (what the frontier is of, its points) by measured seconds."""
    return _groups(found, points_by_time)


def work_groups(found: Frontier) -> list[tuple[str, list[Point]]]:
    """Return (what the frontier is of, its points) by GFLOPs."""
    return _groups(found, points_by_work)


def _groups(found: Frontier, points_of: Callable[[Sequence[Row]], list[Point]]) -> list[tuple[str, list[Point]]]:
    """Return the frontier of all rows; before it, that of those without other data where the two differ."""
    everything = points_of(found.rows)
    alone = points_of([row for row in found.rows if not row.other_data])
    if found.are_runs:
        return [("frontier", everything)]
    groups = []
    if alone:
        groups.append(("frontier, trained on Kinetics-400 alone", alone))
    if frontier_names(everything) != frontier_names(alone):
        groups.append(("frontier of all", everything))
    return groups
