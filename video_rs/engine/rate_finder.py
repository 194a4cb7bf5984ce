"""Learning-rate range test: one step for each of exponentially growing rates (Smith 2017, arXiv:1506.01186, 3.3)."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from video_rs.engine.guards import FailureLimit
from video_rs.engine.loop import failures_of
from video_rs.engine.step import Step
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
    """Return ``steps`` rates from ``first`` to ``last``, each the same multiple of the one before."""
    rates = []
    for number in range(steps):
        share = number / (steps - 1)
        rates.append(first * (last / first) ** share)
    return rates


def smooth(losses: Sequence[float]) -> list[float]:
    """Return the exponential moving average over the sum of its weights: the first is the first loss itself."""
    average = 0.0
    smoothed = []
    for count, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1 - SMOOTHING) * loss
        smoothed.append(average / (1 - SMOOTHING**count))
    return smoothed


def has_diverged(smoothed: Sequence[float]) -> bool:
    """Return whether the last smoothed loss is above ``DIVERGED`` times the lowest."""
    return smoothed[-1] > DIVERGED * min(smoothed)


class NonFiniteStart(InputError):
    """The loss of the start weights is not finite, before any learning rate acts."""

    def __init__(self, loss: float, grad_norm: float):
        super().__init__(
            f"the loss of the start weights is {loss:.4g}, its gradient's norm {grad_norm:.4g}, before any learning "
            "rate acts"
        )


def sweep(
    step: Step,
    batches: Iterable[Any],
    micro_batches: int,
    rates: Iterable[float],
    failures: FailureLimit,
    failed_video: Callable[[str, str], None],
) -> Sweep:
    """Train one step with each learning rate, until the loss diverges or is not finite.

    Args:
        step: at its start; it is changed.
        batches: as for :func:`video_rs.engine.loop.fit`, enough of them for all rates.
        micro_batches: how many batches make a step.
        rates: learning rates in their order.
        failures: refuses too large a share of samples that could not be read.
        failed_video: takes the path and reason of a sample that could not be read.

    Raises:
        TooManyFailed: too many samples could not be read.
        NonFiniteStart: the loss of the start weights is not finite.
    """
    stream = iter(batches)
    step.model.train()
    tried: list[float] = []
    losses: list[float] = []
    before = None

    for rate in rates:
        batches_of_step = [next(stream) for _ in range(micro_batches)]
        result = step(batches_of_step, rate)
        if result.failed:
            for video, reason in failures_of(batches_of_step):
                failed_video(video, reason)
        failures.add(result.clips + result.failed, result.failed)

        if not result.finite:
            if before is None:
                raise NonFiniteStart(result.loss, result.grad_norm)
            return Sweep(tried, losses, before)

        # Without a clip there is no loss.
        if result.clips:
            tried.append(rate)
            losses.append(result.loss / result.clips)
            # The loss of a step tells of the rates before its own.
            if has_diverged(smooth(losses)):
                return Sweep(tried, losses, before)
        before = rate
    return Sweep(tried, losses, None)


def suggest(rates: Sequence[float], losses: Sequence[float]) -> Suggestion | None:
    """Return where the smoothed loss falls fastest over log(rate) on its way to the lowest.

    The slope is the central difference, as in fastai and PyTorch Lightning; the first ``UNSETTLED`` steps are left out.
    The smoothed loss lags behind the loss by some steps, of which five are a factor of two in 100 rates from 1e-5 to
    10: take a suggestion for the upper end of what is good.

    Returns:
        None where the loss does not fall.
    """
    smoothed = np.array(smooth(losses))
    if len(smoothed) <= UNSETTLED:
        return None

    lowest = UNSETTLED + int(np.argmin(smoothed[UNSETTLED:]))
    if lowest == UNSETTLED:
        return None
    fall = smoothed[UNSETTLED] - smoothed[lowest]
    if fall <= CLEAR_FALL * _noise(losses[: lowest + 1]):
        return None

    # Over the logarithm, since the rates grow by a factor.
    slopes = np.gradient(smoothed, np.log(rates))
    steepest = UNSETTLED + int(np.argmin(slopes[UNSETTLED : lowest + 1]))
    return Suggestion(rates[steepest], rates[lowest])


def risen_above(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """Return the last rate up to which the smoothed loss came near its lowest; None where that is the very last."""
    smoothed = smooth(losses)
    last = 0
    for number, loss in enumerate(smoothed):
        if loss <= RISEN * min(smoothed):
            last = number
    if last >= len(rates) - 1:
        return None
    return rates[last]


def _noise(losses: Sequence[float]) -> float:
    """Return the standard deviation of the smoothed loss around its trend.

    The deviation of a single loss is told by the differences of neighbours, in which the trend is small; an exponential
    moving average of independent values has sqrt((1 - s) / (1 + s)) of it.
    """
    single = math.sqrt(float(np.mean(np.diff(losses) ** 2)) / 2)
    return single * math.sqrt((1 - SMOOTHING) / (1 + SMOOTHING))
