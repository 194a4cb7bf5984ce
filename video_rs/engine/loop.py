"""The training loop around the step: what is due when. Saving, validating and logging are handed in."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch.profiler import record_function

from video_rs.engine.guards import FailureLimit, NonFiniteLimit, TooManyFailed
from video_rs.engine.objectives import Ratio
from video_rs.engine.schedule import Plan
from video_rs.engine.step import Step, StepResult
from video_rs.engine.update_ratio import UpdateRatio
from video_rs.runtime import distributed
from video_rs.runtime.errors import Stopped


@dataclass(frozen=True)
class Hooks:
    """What the loop calls.

    Attributes:
        log: takes the step and its measurements, where the plan has a log line.
        failed_video: takes the path and reason of a sample that could not be read.
        non_finite: takes a step that was not taken, its loss, gradient norm and learning rate, and the paths of its
            clips, those of all processes.
        validate: takes the step, after the steps that end a validation period, and after the last.
        save: takes the step, before each validation, after the steps that end a checkpoint period, and after the last;
            and whether the file must be there when it returns.
        should_stop: asked after every step; True saves and raises :class:`Stopped`.
        begin_step: called before every step, for a profiler.
    """

    log: Callable[[int, dict[str, float]], None]
    failed_video: Callable[[str, str], None]
    non_finite: Callable[[int, dict[str, float], list[str]], None]
    validate: Callable[[int], None]
    save: Callable[[int, bool], None]
    should_stop: Callable[[], bool]
    begin_step: Callable[[], None] = lambda: None


@dataclass
class Totals:
    """Sums since the last log line, over all processes."""

    loss: float = 0.0
    clips: int = 0
    failed: int = 0
    ratios: dict[str, Ratio] = field(default_factory=dict)
    waited: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def add(self, result: StepResult) -> None:
        """Take in a step; one that was not taken is no part of the means."""
        self.failed += result.failed
        for name in result.ratios:
            self.ratios.setdefault(name, Ratio(0.0, 0.0))
        if not result.finite:
            return

        self.loss += result.loss
        self.clips += result.clips
        for name, ratio in result.ratios.items():
            before = self.ratios[name]
            self.ratios[name] = Ratio(before.total + ratio.total, before.count + ratio.count)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time inside as spent on waiting for data."""
        asked = time.perf_counter()
        yield
        self.waited += time.perf_counter() - asked

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the time inside out of all rates, since it is not spent on training."""
        since = time.perf_counter()
        yield
        self.started += time.perf_counter() - since

    def scalars(self) -> dict[str, float]:
        """Return means and rates: loss per clip, the objective's means, clips per second, share of time waited."""
        seconds = max(1e-9, time.perf_counter() - self.started)
        means = {name: ratio.total / max(1, ratio.count) for name, ratio in self.ratios.items()}
        return {
            "loss": self.loss / max(1, self.clips),
            **means,
            "clips_per_s": self.clips / seconds,
            "data_wait": self.waited / seconds,
            "failed": self.failed,
        }


def fit(
    step: Step,
    batches: Iterable[Any],
    plan: Plan,
    hooks: Hooks,
    failures: FailureLimit,
    non_finite: NonFiniteLimit,
) -> None:
    """Take the steps that are left.

    Args:
        step: what to train.
        batches: micro-batches from ``step.number`` on, as for :meth:`Step.__call__`; they also have ``failures``,
            (path, reason) of each sample that could not be read, and ``videos``, the path of each clip.
        plan: how many steps, and what is due when.
        hooks: what to call.
        failures: refuses too large a share of samples that could not be read.
        non_finite: refuses steps whose loss or gradient are not finite.

    Raises:
        TooManyFailed: too many samples could not be read.
        NonFiniteStep: loss or gradient are not finite.
        Stopped: ``should_stop`` said so; the state is saved.
    """
    stream = iter(batches)
    step.model.train()
    totals = Totals()
    clock = CheckpointClock(plan)

    while step.number < plan.total_steps:
        hooks.begin_step()
        with totals.waiting(), record_function("data wait"):
            micro_batches = [next(stream) for _ in range(plan.micro_batches)]

        rate = step.rate()
        is_logged = plan.logs(step.number + 1)
        with UpdateRatio(step.optimizer, enabled=is_logged) as update_ratio:
            result = step(micro_batches)

        _report_faults(step.number, result, rate, micro_batches, hooks)
        non_finite.check(step.number, result.loss, result.grad_norm, result.finite)
        totals.add(result)
        if is_logged:
            last = {"grad_norm": result.grad_norm, "update_ratio": update_ratio.value}
            hooks.log(step.number, {"lr": rate, **last, **totals.scalars()})
            totals = Totals()

        _judge_failures(failures, result, step, hooks)
        if plan.validates(step.number):
            with totals.paused(), record_function("validation"):
                # Before scoring, so that what happens there cannot cost what was trained; after it, with the result.
                hooks.save(step.number, False)
                hooks.validate(step.number)
                step.model.train()
        _save_if_due(step, plan, clock, hooks)


def _report_faults(number: int, result: StepResult, rate: float, micro_batches: list[Any], hooks: Hooks) -> None:
    """Hand on what went wrong in a step: samples that could not be read, loss or gradient that are not finite."""
    if result.failed:
        for video, reason in failures_of(micro_batches):
            hooks.failed_video(video, reason)
    if not result.finite:
        measured = {"loss": result.loss, "grad_norm": result.grad_norm, "lr": rate}
        hooks.non_finite(number, measured, videos_of(micro_batches))


def failures_of(micro_batches: list[Any]) -> list[tuple[str, str]]:
    """Return (path, reason) of each sample of a step that could not be read; all processes call this together."""
    return _of_all_processes([failure for batch in micro_batches for failure in batch.failures])


def videos_of(micro_batches: list[Any]) -> list[str]:
    """Return the paths of a step's clips on all processes, which call this together."""
    return _of_all_processes([video for batch in micro_batches for video in batch.videos])


def _of_all_processes(items: list[Any]) -> list[Any]:
    return [item for part in distributed.gather(items) for item in part]


class CheckpointClock:
    """Says when a checkpoint is due: by steps, and after some minutes at the latest.

    Processes may see other times, so nothing but saving may follow from the answer.
    """

    def __init__(self, plan: Plan):
        self.plan = plan
        self.saved = time.perf_counter() if plan.checkpoint_minutes else 0.0

    def due(self, step: int) -> bool:
        """Return whether a checkpoint is due after step number ``step``, counted from 1."""
        is_due = self.plan.saves(step)
        if self.plan.checkpoint_minutes:
            now = time.perf_counter()
            is_due = is_due or now - self.saved >= 60 * self.plan.checkpoint_minutes
            if is_due:
                self.saved = now
        return is_due


def _save_if_due(step: Step, plan: Plan, clock: CheckpointClock, hooks: Hooks) -> None:
    """Save at the end of a period, and before a stop."""
    is_due = clock.due(step.number)
    stops = hooks.should_stop()
    is_last = step.number == plan.total_steps
    if is_due or stops or is_last:
        with record_function("checkpoint"):
            hooks.save(step.number, stops or is_last)
    if stops and not is_last:
        raise Stopped(f"stopped after step {step.number}")


def _judge_failures(failures: FailureLimit, result: StepResult, step: Step, hooks: Hooks) -> None:
    """Count the failed samples of a step; a run that once had few enough of them is saved before it is refused."""
    was_accepted = failures.accepted
    try:
        failures.add(result.clips + result.failed, result.failed)
    except TooManyFailed:
        if was_accepted:
            hooks.save(step.number, True)
        raise
