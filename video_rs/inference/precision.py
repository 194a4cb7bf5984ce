"""Precisions of inference: what a device has, and how much of a network's answers may change.

Every precision but float32 is judged on real clips before it is used, as rounding that does no harm to one network can
ruin another.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from video_rs.engine.evaluation import SOFTMAX
from video_rs.engine.probabilities import ClassProbabilities
from video_rs.runtime.devices import has_bfloat16
from video_rs.runtime.errors import InputError

PRECISIONS = ("float32", "bfloat16", "int8")

SAME_BEST = 0.99
"""Least share of views whose best class stays the same."""

MEAN_CHANGE = 0.02
"""Most that a view's most changed probability may change, in the mean over views."""

COARSE = 0.02
"""Largest difference of bfloat16's logits over the largest logit, where there are no real clips to judge by."""

Prepare = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Samples:
    """Real clips to choose a precision by.

    Attributes:
        calibration: that int8 takes its ranges from, uint8 ``[N, 3, T, H, W]``.
        check: that a precision is judged by, of other groups of videos than those, uint8 ``[M, 3, T, H, W]``.
        prepare: uint8 clips -> float clips on the network's device.
        probabilities: logits -> probabilities.
    """

    calibration: Tensor
    check: Tensor
    prepare: Prepare
    probabilities: ClassProbabilities = SOFTMAX


class Loss(NamedTuple):
    """What a precision changes.

    Attributes:
        views: how many it was judged by.
        same_best: share of them whose best class is that of float32.
        mean_change: of the probability that changes most, in the mean over views.
    """

    views: int
    same_best: float
    mean_change: float

    @property
    def is_allowed(self) -> bool:
        """Whether both are within their limits."""
        return self.same_best >= SAME_BEST and self.mean_change <= MEAN_CHANGE

    @classmethod
    def between(cls, expected: Iterable[Tensor], found: Iterable[Tensor]) -> "Loss":
        """Return what changes from one batch of probabilities ``[b, K]`` after the other to those ``found``."""
        views = 0
        same = 0
        change = 0.0
        for before, after in zip(expected, found, strict=True):
            views += len(before)
            same += int((before.argmax(1) == after.argmax(1)).sum())
            change += float((before - after).abs().amax(1).sum())
        return cls(views, same / views, change / views)

    def __str__(self) -> str:
        return (
            f"the same best class in {self.same_best:.1%} of {self.views} views (at least {SAME_BEST:.0%}), "
            f"probabilities changed by {self.mean_change:.4f} in the mean (at most {MEAN_CHANGE})"
        )


def precisions_of(device: torch.device) -> tuple[str, ...]:
    """Return the precisions that a device computes in no slower than in float32."""
    bfloat16 = ("bfloat16",) if has_bfloat16(device) else ()
    int8 = ("int8",) if device.type == "cpu" else ()
    return ("float32", *bfloat16, *int8)


def require_precision(precision: str, device: torch.device) -> None:
    """Raise InputError unless a precision is known, or "auto", and the device has it."""
    if precision not in ("auto", *PRECISIONS):
        raise InputError(f"precision is {precision!r}; allowed: auto, {', '.join(PRECISIONS)}")
    there = precisions_of(device)
    if precision not in ("auto", *there):
        what = "processor" if device.type == "cpu" else device.type
        raise InputError(
            f"precision {precision!r} is none that this {what} has instructions for; allowed here: {', '.join(there)}"
        )
