"""What a view costs on this machine: seconds of one view alone, and views per second of several at once.

Each network is measured by the benchmarks: in a process of its own, in rounds that visit all processes in turn, so
that what slows the machine for a while slows all of them. A process of a large network takes gigabytes, so not all of
them are in memory at once: networks are measured in groups. Every group has the same reference network in it, too,
which each round visits as it does the others. The seconds of a network are its ratio to the reference in its own group,
times the seconds of the reference over all groups: a group that met a slow hour of the machine is no slower for it.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from video_rs.benchmarks.measuring import Report, measure
from video_rs.benchmarks.subject import FORWARD, OURS, PEER, Subject
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize
from video_rs.studies.frontier.measured import Measured, View

REFERENCE = Subject(FORWARD, OURS, "eager", 1, 8, 224, network="r3d_50")
"""Of every group: a 3D ResNet-50, whose time is made of what the others' is, small enough to cost little."""


@dataclass(frozen=True)
class Setting:
    """How views are measured.

    Attributes:
        device: "cpu" or "cuda".
        precision: "float32", or "bfloat16" by autocast.
        engine: of ``accelerate``, "auto" for the fastest; in bfloat16 "eager" or "compile".
        same_engine: whether peers run by it, too, and not as they are shipped.
        batch: views at once, for the rate.
        rounds: of each group.
        at_once: processes beside the reference's.
    """

    device: str
    precision: str
    engine: str
    same_engine: bool
    batch: int
    rounds: int
    at_once: int

    def subject(self, view: View, batch: int) -> Subject:
        """Return what benchmarks measure of a view."""
        side = OURS if view.is_ours else PEER
        way = "as shipped"
        engine = ""
        if view.is_ours or self.same_engine:
            way, engine = self.way()
        return Subject(
            FORWARD,
            side,
            way,
            batch,
            view.frames,
            view.size,
            network=view.network,
            checkpoint=view.checkpoint,
            engine=engine,
            device=self.device,
            precision=self.precision,
        )

    def way(self) -> tuple[str, str]:
        """Return the way of a benchmark and the engine; ``accelerate`` computes in float32 alone."""
        if self.precision == "float32":
            return "accelerate", self.engine
        if self.engine == "compile" or (self.engine == "auto" and self.device == "cuda"):
            return "compiled", ""
        return "eager", ""


def measure_views(views: Sequence[View], setting: Setting, measured: Measured, report: Report) -> dict[str, str]:
    """Measure the views that are left, group by group.

    Where a group fails, its views are measured one by one, so that one that is too large costs no other.

    Args:
        views: of all networks.
        setting: how.
        measured: takes them in.
        report: takes lines of progress.

    Returns:
        Name -> why a view could not be measured.
    """
    left = [view for view in views if not measured.has(view)]
    groups = groups_of(left, setting)

    failed = {}
    for number, group in enumerate(groups, start=1):
        names = ", ".join(view.name for view in group)
        report(f"group {number} of {len(groups)}, {pluralize(len(group), 'network')}: {names}")
        try:
            _measure_group(group, setting, measured, report)
        except InputError as error:
            if len(group) == 1:
                failed[group[0].name] = str(error)
                continue

            # One of them is to blame; the message names it, but more than one may be too large.
            report(f"{error}; measuring this group one by one")
            for view in group:
                try:
                    _measure_group([view], setting, measured, report)
                except InputError as alone:
                    failed[view.name] = str(alone)
    return failed


def groups_of(views: Sequence[View], setting: Setting) -> list[list[View]]:
    """Return views in groups that have no more processes than allowed, but one view at least."""
    processes = 1 if setting.batch == 1 else 2
    size = max(1, setting.at_once // processes)
    return [list(views[start : start + size]) for start in range(0, len(views), size)]


def _measure_group(views: Sequence[View], setting: Setting, measured: Measured, report: Report) -> None:
    """Measure some views and the reference; each round visits all of them."""
    batches = sorted({1, setting.batch})
    reference = dataclasses.replace(REFERENCE, device=setting.device, precision=setting.precision)
    subjects = [reference]
    for view in views:
        subjects += [setting.subject(view, batch) for batch in batches]

    # All processes of the group are there at once, each idle while another one is measured.
    first, *others = measure(subjects, setting.rounds, report)
    # The answers are in the order of the subjects: of each view one for every batch.
    found = []
    for place, view in enumerate(views):
        start = place * len(batches)
        found.append((view, others[start : start + len(batches)]))
    measured.add(first, found)
