"""The training loop around the step; saving, validating and logging are handed in."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from torch.profiler import record_function

from video_rs.engine.trainer import TooManyFailed, Trainer, TrainSettings
from video_rs.runtime import distributed
from video_rs.runtime.errors import InputError

# So many steps without a finite loss are no accident any more.
SKIPPED_IN_A_ROW = 10


class Stopped(Exception):
    """The run was told to stop; its state is saved."""


@dataclass
class Totals:
    """Sums since the last log line, over all processes."""

    loss: float = 0.0
    hits: int = 0
    judged: int = 0
    clips: int = 0
    failed: int = 0
    waited: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def add(self, step: dict[str, float]) -> None:
        """Takes in what :meth:`Trainer.train_step` returned; a step that was not taken is no part of the means."""
        self.failed += step["failed"]
        if step["finite"]:
            self.loss, self.hits = self.loss + step["loss"], self.hits + step["hits"]
            self.judged, self.clips = self.judged + step["judged"], self.clips + step["clips"]

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Around what is waited for."""
        asked = time.perf_counter()
        yield
        self.waited += time.perf_counter() - asked

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Around what is not training, whose time does not count."""
        since = time.perf_counter()
        yield
        self.started += time.perf_counter() - since

    def scalars(self) -> dict[str, float]:
        """Means and rates: loss per clip, top1 in [0, 1], clips per second, share of the time spent on waiting."""
        seconds = max(1e-9, time.perf_counter() - self.started)
        clips = max(1, self.clips)
        return {
            "loss": self.loss / clips,
            "top1": self.hits / max(1, self.judged),
            "clips_per_s": self.clips / seconds,
            "data_wait": self.waited / seconds,
            "failed": self.failed,
        }


def fit(
    trainer: Trainer,
    batches: Iterable[Any],
    *,
    log: Callable[[int, dict[str, float]], None],
    report_failure: Callable[[str, str], None],
    report_non_finite: Callable[[int, dict[str, float], list[str]], None],
    validate: Callable[[int], None],
    save: Callable[[int, bool], None],
    should_stop: Callable[[], bool],
    begin_step: Callable[[], None] = lambda: None,
) -> None:
    """Runs the steps that are left.

    Args:
        trainer: what to train.
        batches: micro-batches from ``trainer.step`` on, as in :meth:`Trainer.train_step`, which also have ``failures``
            and ``videos``.
        log: takes the step and its measurements, every ``log_steps`` steps.
        report_failure: takes the path and reason of a sample that could not be read.
        report_non_finite: takes a step that was not taken, its loss, gradient norm and learning rate, and the paths of
            its clips, those of all processes.
        validate: called after the steps that end a validation period, and after the last.
        save: called before each validation, after the steps that end a checkpoint period, and after the last, with
            the step, and with True where the file must be there when it returns.
        should_stop: asked after every step; True saves and raises :class:`Stopped`.
        begin_step: called before every step, for a profiler.

    Raises:
        InputError: loss or gradient are not finite, or too many samples could not be read.
        Stopped: ``should_stop`` said so.
    """
    settings = trainer.settings
    stream = iter(batches)
    trainer.model.train()
    totals = Totals()
    periods = Periods(settings)
    skipped = 0
    while trainer.step < settings.total_steps:
        begin_step()
        with totals.waiting(), record_function("data wait"):
            micro = [next(stream) for _ in range(settings.accumulation)]
        rate = trainer.rate()
        coming = trainer.step + 1
        logged = coming == settings.total_steps or coming % settings.log_steps == 0
        step = trainer.train_step(micro, measure_update=logged)
        if step["failed"]:
            for video, reason in failures_of(micro):
                report_failure(video, reason)
        skipped = 0 if step["finite"] else skipped + 1
        if skipped:
            measured = {"loss": step["loss"], "grad_norm": step["grad_norm"], "lr": rate}
            report_non_finite(trainer.step, measured, videos_of(micro))
            _refuse_non_finite(trainer, step, rate, skipped)
        totals.add(step)
        if logged:
            last = {key: step[key] for key in ("grad_norm", "update_ratio")}
            log(trainer.step, {"lr": rate, **last, **totals.scalars()})
            totals = Totals()
        _refuse_failures(trainer, save)
        if settings.validates(trainer.step):
            with totals.paused(), record_function("validation"):
                # Before scoring, so that what happens there cannot cost what was trained; after it, with the result.
                save(trainer.step, False)
                validate(trainer.step)
                trainer.model.train()
        _save_if_due(trainer, periods, save, should_stop)


def failures_of(micro: list[Any]) -> list[tuple[str, str]]:
    """(path, reason) of each sample of a step that could not be read, on any process; all processes call it."""
    return _of_all_processes([failure for batch in micro for failure in batch.failures])


def videos_of(micro: list[Any]) -> list[str]:
    """Paths of a step's clips on all processes, which all call it."""
    return _of_all_processes([video for batch in micro for video in batch.videos])


def _of_all_processes(mine: list[Any]) -> list[Any]:
    return [item for part in distributed.gather(mine) for item in part]


def _refuse_non_finite(trainer: Trainer, step: dict[str, float], rate: float, skipped: int) -> None:
    """Raises InputError where steps that are not finite are not to be skipped, or nothing else comes any more."""
    if trainer.settings.skip_non_finite and skipped < SKIPPED_IN_A_ROW:
        return
    what = f"the loss of step {trainer.step} is {step['loss']:.4g}, its gradient's norm {step['grad_norm']:.4g}"
    times = f"; {skipped} steps in a row were skipped" if trainer.settings.skip_non_finite else ""
    skip = "" if trainer.settings.skip_non_finite else ", or TRAIN.NON_FINITE skip"
    raise InputError(
        f"{what} (learning rate {rate:.4g}; its clips are in log.jsonl){times}; the last checkpoint is from before: "
        f"lower SOLVER.BASE_LR, lengthen SOLVER.WARMUP_EPOCHS or set SOLVER.CLIP_GRAD_L2NORM{skip}, and go on with "
        "--resume --allow-changes"
    )


class Periods:
    """When a checkpoint is due; processes may see other clocks, so nothing but saving may follow from it."""

    def __init__(self, settings: TrainSettings):
        self.settings = settings
        self.saved = time.perf_counter() if settings.checkpoint_minutes else 0.0

    def due(self, step: int) -> bool:
        settings = self.settings
        period = settings.checkpoint_steps
        due = step % period == 0 if period else settings.crosses(step, 1)
        if settings.checkpoint_minutes:
            now = time.perf_counter()
            due = due or now - self.saved >= 60 * settings.checkpoint_minutes
            self.saved = now if due else self.saved
        return due


def _save_if_due(
    trainer: Trainer, periods: Periods, save: Callable[[int, bool], None], should_stop: Callable[[], bool]
) -> None:
    """Saves at the end of a period, and before a stop."""
    step, end = trainer.step, trainer.settings.total_steps
    due, stop = periods.due(step), should_stop()
    if stop or step == end or due:
        with record_function("checkpoint"):
            save(step, stop or step == end)
    if stop and step < end:
        raise Stopped(f"stopped after step {step}")


def _refuse_failures(trainer: Trainer, save: Callable[[int, bool], None]) -> None:
    """Raises TooManyFailed where too many samples could not be read. A run that once had few enough is saved first."""
    accepted = trainer.accepted
    try:
        trainer.check_failures()
    except TooManyFailed:
        if accepted:
            save(trainer.step, True)
        raise
