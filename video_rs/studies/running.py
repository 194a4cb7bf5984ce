"""Do the runs of a study that are left, and write what all of them say."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line
from video_rs.runtime.wording import nearest, pluralize
from video_rs.studies.budget import Budget, measure_budget
from video_rs.studies.engines import Engine
from video_rs.studies.engines.local import LocalEngine
from video_rs.studies.engines.slurm import SlurmEngine
from video_rs.studies.progress import StudyProgress
from video_rs.studies.study import Study, open_study

REPORTS = {"additive": "additive_report", "scaling": "scaling_report", "transfer": "transfer.report"}
"""Kind of a study -> the module that has its ``write_report(study, failed)``, which returns lines to print."""


@dataclass(frozen=True)
class Resources:
    """What the runs of a study are done with.

    Attributes:
        engine: one of :data:`ENGINES`.
        jobs: runs at a time.
        processes: of each run; one for each of its GPUs.
    """

    engine: str = "local"
    jobs: int = 1
    processes: int = 1

    def __post_init__(self):
        for name, value in (("--jobs", self.jobs), ("--processes", self.processes)):
            if value < 1:
                raise InputError(f"{name} {value}: give 1 or more")


def _ray(jobs: int, processes: int) -> Engine:
    """Return the engine of a Ray cluster, which needs an extra."""
    from video_rs.studies.engines.ray import RayEngine

    return RayEngine(jobs, processes)


ENGINES: dict[str, Callable[[int, int], Engine]] = {"local": LocalEngine, "slurm": SlurmEngine, "ray": _ray}
"""What does runs, by name; called with runs at a time and processes of each run."""


def make_engine(resources: Resources) -> Engine:
    """Return what does the runs.

    Raises:
        InputError: there is no such engine, or its package is not installed.
    """
    if resources.engine not in ENGINES:
        near = nearest(resources.engine, ENGINES)
        hint = f"; did you mean {near}?" if near else ""
        raise InputError(f"--engine {resources.engine}: allowed are {', '.join(ENGINES)}{hint}")
    return ENGINES[resources.engine](resources.jobs, resources.processes)


@dataclass(frozen=True)
class Plan:
    """What is left of a study, looked at before anything is written or runs.

    Attributes:
        study: whose runs they are.
        engine: does them.
        left: their names.
        budget: what they cost; None where nothing is left.
    """

    study: Study
    engine: Engine
    left: list[str]
    budget: Budget | None


def make_and_go_on(wanted: Study, resources: Resources) -> None:
    """Open the study of a command and go on with it.

    Nothing of it is written before it is known that it can run: a list with a misspelt name would else be a part of
    the study, and the corrected command be refused by it.

    Raises:
        InputError: as :func:`open_study` and :func:`go_on` have it.
    """
    study = open_study(wanted)
    plan = _plan(study, resources)
    study.save()
    _carry_out(plan, resources)


def go_on(study: Study, resources: Resources) -> None:
    """Print what a study costs, do the runs that are left, and write its report.

    A run that fails is reported, and the others go on.

    Raises:
        InputError: a run is refused before anything runs, or none of the runs that were left has come to its end.
        Stopped: told to stop; the states of the runs are saved.
    """
    _carry_out(_plan(study, resources), resources)


def _plan(study: Study, resources: Resources) -> Plan:
    """Return what is to be done; see :func:`go_on` for what is refused."""
    engine = make_engine(resources)
    left = [run.name for run in study.unfinished()]
    budget = None
    if left:
        jobs = min(resources.jobs, len(left))
        budget = measure_budget(study, jobs, resources.processes, runs_here=resources.engine == "local")
    return Plan(study, engine, left, budget)


def _carry_out(plan: Plan, resources: Resources) -> None:
    """Do what is planned."""
    study = plan.study
    failed = {}
    if plan.budget is None:
        print_line(f"study {study.folder}: all its {pluralize(len(study.runs), 'run')} are done")
    else:
        print_line(f"study {study.folder}: {plan.budget.describe(study, resources.jobs)}")
        progress = StudyProgress(study, plan.budget, resources.jobs)
        try:
            failed = dict(plan.engine(study, plan.left, progress))
        finally:
            progress.close()

    write_report(study, failed)
    if failed and len(failed) == len(plan.left):
        name, reason = next(iter(failed.items()))
        raise InputError(f"none of {pluralize(len(plan.left), 'run')} came to its end; {name}: {reason}")


def write_report(study: Study, failed: dict[str, str]) -> None:
    """Write what the finished runs of a study say, and print it.

    Args:
        study: any.
        failed: run -> why it failed just now.
    """
    if len(study.unfinished()) == len(study.runs):
        return
    if study.kind not in REPORTS:
        raise InputError(f"{study.folder} holds a study of the kind {study.kind!r}; allowed: {', '.join(REPORTS)}")
    module = importlib.import_module(f"video_rs.studies.{REPORTS[study.kind]}")
    for line in module.write_report(study, failed):
        print_line(line)
