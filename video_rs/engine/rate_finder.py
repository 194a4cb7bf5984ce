"""Learning-rate range test: one step for each of exponentially growing rates (Smith 2017, arXiv:1506.01186, 3.3)."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from video_rs.engine.loop import failures_of
from video_rs.engine.trainer import Trainer
from video_rs.runtime.errors import InputError

# Over about ten steps: fastai's 0.98 spans fifty, half of a sweep of a hundred.
SMOOTHING = 0.9
# The first smoothed losses are means over few steps, so their ups and downs say nothing.
UNSETTLED = 10
# A smoothed loss this many times its best so far has diverged (fastai's factor).
DIVERGED = 4.0
# One that never comes back below this many times its lowest has risen: where the loss is bounded, it never diverges.
RISEN = 1.1
# Standard deviations of the smoothed loss that noise alone falls by in 3 of 100 sweeps.
CLEAR_FALL = 5.0


@dataclass(frozen=True)
class Sweep:
    """What was measured.

    Attributes:
        rates: learning rate of each step.
        losses: mean loss per clip of each step, measured before that step's update.
        unstable: the last rate taken before the loss diverged or was not finite; None where it did neither.
    """

    rates: list[float]
    losses: list[float]
    unstable: float | None


@dataclass(frozen=True)
class Suggestion:
    """Rates to train with.

    Attributes:
        steepest: where the smoothed loss falls fastest.
        lowest: where it is lowest; a tenth of it is the other rule in use.
    """

    steepest: float
    lowest: float


def growing_rates(steps: int = 100, first: float = 1e-5, last: float = 10.0) -> list[float]:
    """``steps`` rates from ``first`` to ``last``, each the same multiple of the one before."""
    return [first * (last / first) ** (i / (steps - 1)) for i in range(steps)]


def smooth(losses: Sequence[float]) -> list[float]:
    """Exponential moving average, divided by the sum of its weights: the first is the first loss itself."""
    average, smoothed = 0.0, []
    for count, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING**count))
    return smoothed


def has_diverged(smoothed: Sequence[float]) -> bool:
    """Whether the last smoothed loss is above ``DIVERGED`` times the lowest."""
    return smoothed[-1] > DIVERGED * min(smoothed)


def sweep(
    trainer: Trainer, batches: Iterable[Any], rates: Iterable[float], report_failure: Callable[[str, str], None]
) -> Sweep:
    """Trains one step with each of ``rates``, until the loss diverges or is not finite.

    Args:
        trainer: at its start; it is changed.
        batches: micro-batches as for :func:`video_rs.engine.loop.fit`, enough of them for all rates.
        rates: learning rates in their order.
        report_failure: takes the path and reason of a sample that could not be read.

    Raises:
        InputError: too many samples could not be read, or the start weights' own loss is not finite.
    """
    stream = iter(batches)
    trainer.model.train()
    tried: list[float] = []
    losses: list[float] = []
    before = None
    for rate in rates:
        micro = [next(stream) for _ in range(trainer.settings.accumulation)]
        step = trainer.train_step(micro, rate)
        if step["failed"]:
            for video, reason in failures_of(micro):
                report_failure(video, reason)
        trainer.check_failures()
        if not step["finite"]:
            if before is None:
                raise InputError(
                    f"the loss of the start weights is {step['loss']:.4g}, its gradient's norm "
                    f"{step['grad_norm']:.4g}, before any learning rate acts; check the weights, DATA.MEAN and DATA.STD"
                )
            return Sweep(tried, losses, before)
        if step["clips"]:  # without one there is no loss
            tried.append(rate)
            losses.append(step["loss"] / step["clips"])
            # The loss of a step tells of the rates before its own.
            if has_diverged(smooth(losses)):
                return Sweep(tried, losses, before)
        before = rate
    return Sweep(tried, losses, None)


def suggest(rates: Sequence[float], losses: Sequence[float]) -> Suggestion | None:
    """Where the smoothed loss falls fastest over log(rate) on its way to the lowest, or None where it does not fall.

    The slope is the central difference, as in fastai and PyTorch Lightning; the first ``UNSETTLED`` steps are left out.
    The smoothed loss lags behind the loss by some steps, of which five are a factor of two in 100 rates from 1e-5 to
    10: take a suggestion for the upper end of what is good.
    """
    smoothed = np.array(smooth(losses))
    lowest = UNSETTLED + int(np.argmin(smoothed[UNSETTLED:])) if len(smoothed) > UNSETTLED else 0
    if lowest <= UNSETTLED or smoothed[UNSETTLED] - smoothed[lowest] <= CLEAR_FALL * _noise(losses[: lowest + 1]):
        return None
    slopes = np.gradient(smoothed, np.log(rates))
    steepest = UNSETTLED + int(np.argmin(slopes[UNSETTLED : lowest + 1]))
    return Suggestion(rates[steepest], rates[lowest])


def risen_above(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The last of ``rates`` up to which the smoothed loss came near its lowest, or None where that is the very last."""
    smoothed = smooth(losses)
    last = max((i for i, loss in enumerate(smoothed) if loss <= RISEN * min(smoothed)), default=0)
    return rates[last] if last < len(rates) - 1 else None


def _noise(losses: Sequence[float]) -> float:
    """Standard deviation of the smoothed loss around its trend.

    That of a single loss is told by the differences of neighbours, in which the trend is small; an exponential moving
    average of independent values has sqrt((1 - s) / (1 + s)) of it.
    """
    single = math.sqrt(float(np.mean(np.diff(losses) ** 2)) / 2)
    return single * math.sqrt((1 - SMOOTHING) / (1 + SMOOTHING))
