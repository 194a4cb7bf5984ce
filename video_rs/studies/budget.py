"""What a study costs: the work of its runs, and the seconds that it takes as measured."""

import functools
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from video_rs.builders import build_architecture
from video_rs.builders.engine import build_plan
from video_rs.models import Architecture
from video_rs.models.classifier import VideoClassifier
from video_rs.models.table import gmac, parameters
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import format_duration
from video_rs.runtime.wording import pluralize
from video_rs.studies.probing import PROBE_STEPS, probe
from video_rs.studies.study import Study, StudyRun
from video_rs.studies.study_lists import StudyLists

BACKWARD = 3.0  # a step over the forward pass alone


@dataclass(frozen=True)
class Work:
    """What a run has to compute.

    Attributes:
        steps: of the optimizer.
        clips: that are trained on.
        views: that are tested.
        gmac: of the forward pass of a training clip, in 10^9 multiply-adds.
        view_gmac: of that of a view.
        parameters: of the network.
    """

    steps: int
    clips: int
    views: int
    gmac: float
    view_gmac: float
    parameters: int

    @property
    def total(self) -> float:
        """Multiply-adds of training and of the test, in 10^9."""
        return BACKWARD * self.clips * self.gmac + self.views * self.view_gmac


def work_of(study: Study, run: StudyRun, lists: StudyLists) -> Work:
    """Return the work of a run.

    Raises:
        InputError: its configuration or its lists are refused, or it has no list to be tested on.
    """
    config = study.config(run)
    if config.DATA.MULTI_LABEL:
        raise InputError(
            f"{run.name} has DATA.MULTI_LABEL true, and studies compare videos of one label each; leave it away"
        )
    read = lists.of(run)
    if read.val is None:
        raise InputError(
            f"{run.name} has no videos to be tested on; name a list with --list that has a column split with val rows, "
            "or set DATA.VAL_LIST"
        )
    arch = build_architecture(config)
    classes = len(read.label_names)
    plan = build_plan(config, len(read.train))
    frames = config.DATA.NUM_FRAMES
    return Work(
        steps=plan.total_steps,
        clips=plan.total_steps * plan.batch_size,
        views=len(read.val) * config.TEST.NUM_ENSEMBLE_VIEWS * config.TEST.NUM_SPATIAL_CROPS,
        gmac=_clip_gmac(arch, classes, frames, config.DATA.TRAIN_CROP_SIZE),
        view_gmac=_clip_gmac(arch, classes, frames, config.DATA.TEST_CROP_SIZE),
        parameters=parameters(_network(arch, classes)),
    )


@functools.cache
def _network(arch: Architecture, classes: int) -> VideoClassifier:
    """Return a network without memory; the runs of a study have few different ones."""
    with torch.device("meta"):
        return VideoClassifier(arch, classes)


@functools.cache
def _clip_gmac(arch: Architecture, classes: int, frames: int, size: int) -> float:
    """Return the multiply-adds of a clip's forward pass, in 10^9; to count them takes up to a second."""
    return gmac(_network(arch, classes), frames, size)


@dataclass(frozen=True)
class Budget:
    """What a study costs.

    Attributes:
        work: run -> its work.
        seconds: run -> how long it takes, or has taken; empty where nothing is known of that.
        source: what the seconds rest on, in words.
    """

    work: Mapping[str, Work]
    seconds: Mapping[str, float]
    source: str = ""

    def describe(self, study: Study, jobs: int) -> str:
        """Return the cost of what is left, in a line."""
        left = study.unfinished()
        done = len(study.runs) - len(left)
        steps = sum(self.work[run.name].steps for run in left)
        text = f"{pluralize(len(study.runs), 'run')}, {done} of them done; the others have {steps:,} steps"
        if not self.seconds:
            petaflops = sum(2 * self.work[run.name].total for run in left) / 1e6
            amount = "less than 1"
            if petaflops >= 1:
                amount = f"{petaflops:,.0f}"
            return f"{text} and {amount} PFLOP; how long they take is known when one of them is done"

        seconds = sum(self.seconds[run.name] for run in left) / min(jobs, max(1, len(left)))
        return f"{text} and take about {format_duration(seconds)} at {jobs} at a time ({self.source})"


def measure_budget(study: Study, jobs: int, processes: int = 1, runs_here: bool = True) -> Budget:
    """Return the budget of a study, from runs that have ended, or else from some steps of its first run.

    Args:
        study: whose budget.
        jobs: runs at a time: so many take the steps beside each other.
        processes: of each run.
        runs_here: whether the runs will be done on this machine, and steps of one may be taken on it.

    Raises:
        InputError: a run is refused.
    """
    lists = StudyLists(study)
    work = {run.name: work_of(study, run, lists) for run in study.runs}
    measured = measured_seconds(study)
    if measured:
        rate = statistics.median(measured[name] / work[name].total for name in measured)
        seconds = {name: measured.get(name, rate * each.total) for name, each in work.items()}
        return Budget(work, seconds, f"as {pluralize(len(measured), 'run')} of it took")
    if not runs_here:
        return Budget(work, {})

    first = study.unfinished()[0]
    speed = probe(study, first, jobs, processes)
    rate = 1 / (speed.clips_per_second * BACKWARD * work[first.name].gmac)
    seconds = {name: speed.start_seconds + rate * each.total for name, each in work.items()}
    source = f"{PROBE_STEPS} steps of {first.row} made {speed.clips_per_second:.0f} clips/s; others by multiply-adds"
    return Budget(work, seconds, source)


def measured_seconds(study: Study) -> dict[str, float]:
    """Return how long the runs took that were done in one go."""
    seconds = {}
    for run in study.runs:
        if study.is_finished(run):
            done = json.loads((study.run_folder(run) / "done.json").read_text(encoding="utf-8"))
            if not done["resumed"]:
                seconds[run.name] = done["training_seconds"] + done["test_seconds"]
    return seconds
