"""What a study costs: the work of its runs, and the seconds that it takes as measured."""

import dataclasses
import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from video_rs.runtime.progress import format_duration
from video_rs.runtime.wording import pluralize
from video_rs.studies.probing import PROBE_STEPS, probe
from video_rs.studies.rates import ALIKE, fit_rates
from video_rs.studies.study import Study
from video_rs.studies.study_lists import StudyLists
from video_rs.studies.work import Work, work_of


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
    """Return the budget of a study, from runs that have ended, or else from some steps.

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
    # Runs without training share what they compute: the seconds of one say little of the next.
    trained = [name for name in measured if work[name].steps]
    if trained:
        rates = fit_rates([work[name] for name in trained], [measured[name] for name in trained])
        seconds = {name: measured.get(name, rates.seconds(each)) for name, each in work.items()}
        return Budget(work, seconds, f"as {pluralize(len(trained), 'run')} of it took")
    if not runs_here or not any(run.trains for run in study.unfinished()):
        return Budget(work, {})

    return _probed_budget(study, work, jobs, processes)


def _probed_budget(study: Study, work: Mapping[str, Work], jobs: int, processes: int) -> Budget:
    """Return the budget as some steps of the smallest and of the largest network say."""
    training = [run for run in study.unfinished() if run.trains]
    left = sorted(training, key=lambda run: work[run.name].gmac)
    probed = [left[0]]
    # A small network takes longer than its multiply-adds say.
    if work[left[-1].name].gmac > ALIKE * work[left[0].name].gmac:
        probed.append(left[-1])
    speeds = [probe(study, run, jobs, processes) for run in probed]

    clips = [dataclasses.replace(work[run.name], clips=1, views=0) for run in probed]
    rates = fit_rates(clips, [1 / speed.clips_per_second for speed in speeds])
    start = statistics.mean(speed.start_seconds for speed in speeds)
    seconds = {name: start + rates.seconds(each) for name, each in work.items()}

    made = (f"{run.row} made {speed.clips_per_second:.3g} clips/s" for run, speed in zip(probed, speeds, strict=True))
    return Budget(work, seconds, f"in {PROBE_STEPS} steps, {', '.join(made)}; others by multiply-adds")


def measured_seconds(study: Study) -> dict[str, float]:
    """Return how long the runs took that were done in one go."""
    seconds = {}
    for run in study.runs:
        if study.is_finished(run):
            done = json.loads((study.run_folder(run) / "done.json").read_text(encoding="utf-8"))
            if not done["resumed"]:
                seconds[run.name] = done["training_seconds"] + done["test_seconds"]
    return seconds
