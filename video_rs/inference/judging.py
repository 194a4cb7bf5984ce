"""Whether an engine gives what the model gives: to rounding in float32, and little else in other precisions."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from video_rs.inference.conversion import AXES
from video_rs.inference.full_precision import without_tf32
from video_rs.inference.precision import COARSE, Loss, Samples
from video_rs.runtime.errors import InputError

Run = Callable[[Tensor], Tensor]

# Largest difference from eager logits, over the largest logit: float32 sums in another order. More is a wrong result.
ROUNDING = 1e-4


class Case(NamedTuple):
    """Clips that every engine has to answer, and the model's own answer.

    Attributes:
        clips: float32 ``[b, C, T, h, w]``.
        logits: ``[b, K]``.
        largest: of the logits of the whole batch, without its sign.
    """

    clips: Tensor
    logits: Tensor
    largest: float


def mirrored(clips: Tensor, axis: str) -> Tensor:
    """Return clips of twice the "height" or "width": each beside its mirror image, so that real ones stay real."""
    return torch.cat([clips, clips.flip(AXES[axis])], AXES[axis])


class Judge:
    """Compares engines with the model itself.

    Args:
        model: clips -> logits, in evaluation mode and float32; nobody may change it.
        clips: random ones in [0, 1], float32 ``[B, C, T, H, W]``, on its device.
        samples: real ones, or None.
        any_size: whether engines have to answer higher and wider clips, too.

    Raises:
        InputError: the model answers with something else than logits, or with numbers that are not finite.
    """

    def __init__(self, model: nn.Module, clips: Tensor, samples: Samples | None, any_size: bool = False):
        self.model = model
        self.clips = clips
        self.samples = samples
        self.any_size = any_size
        whole = self._case(clips)
        # A batch as it ends a list, too.
        self.cases = [whole, Case(clips[:1], whole.logits[:1], whole.largest)]
        # What engines are timed by.
        self.timed = clips
        if any_size:
            self.timed = mirrored(clips, "width")
            self.cases += [self._case(self.timed), self._case(mirrored(clips[:1], "height"))]

    def _case(self, clips: Tensor) -> Case:
        """Return clips with the model's own answer."""
        logits = model_logits(self.model, clips)
        return Case(clips, logits, float(logits.abs().max()))

    def require_right(self, engine: str, precision: str, run: Run) -> Loss | None:
        """Return what a precision changes on real clips; None in float32, and where there are none.

        Raises:
            InputError: the engine gives other logits, or changes too much.
        """
        self._require_near(engine, run, ROUNDING if precision == "float32" else None)
        if precision == "float32":
            return None
        if self.samples is None:
            self._require_near(engine, run, COARSE)
            return None

        loss = self._loss(run)
        if not loss.is_allowed:
            raise InputError(f"precision {precision!r} of {engine} changes too much: {loss}; take another precision")
        return loss

    def _require_near(self, engine: str, run: Run, tolerance: float | None) -> None:
        """Raise InputError unless a run's logits are finite, and the model's to a part of the largest of those."""
        for clips, expected, largest in self.cases:
            logits = run(clips)
            if logits.shape != expected.shape:
                raise InputError(
                    f"engine {engine!r} gives logits {list(logits.shape)}, the model {list(expected.shape)}; allowed: "
                    "the same; take another engine"
                )
            if not logits.isfinite().all():
                raise InputError(
                    f"engine {engine!r} gives logits that are not all finite; allowed: finite ones, as the model's; "
                    "take another engine, or another precision"
                )
            if tolerance is None:
                continue
            difference = (logits - expected).abs().max()
            # Where all are 0 the engine's have to be; the form of the comparison refuses NaN.
            if not difference <= tolerance * largest:
                raise InputError(
                    f"engine {engine!r} gives other logits than the model, by {difference:.1e} where the largest is "
                    f"{largest:.1e}; allowed: {tolerance:.0e} of it; take another engine"
                )

    @torch.no_grad()
    def _loss(self, run: Run) -> Loss:
        """Return what a run changes of the answers for the clips to check."""
        return Loss.between(self._expected, self._probabilities(run))

    @cached_property
    def _expected(self) -> list[Tensor]:
        """The model's own probabilities for the clips to check, in batches."""
        with torch.no_grad(), without_tf32():
            return list(self._probabilities(self.model))

    def _probabilities(self, run: Run) -> Iterator[Tensor]:
        """Yield a run's probabilities for the clips to check, in batches."""
        samples = self.samples
        for views in samples.check.split(len(self.clips)):
            if self.any_size:
                views = mirrored(views, "width")
            yield samples.probabilities(run(samples.prepare(views)))


def model_logits(model: nn.Module, clips: Tensor) -> Tensor:
    """Return the model's own logits, which those of engines are compared with.

    Raises:
        InputError: the model answers with something else, or with numbers that are not finite.
    """
    with torch.no_grad(), without_tf32():
        expected = model(clips)
    if not isinstance(expected, Tensor):
        raise InputError(
            f"the model answers with a {type(expected).__name__}; allowed: a tensor of logits; take a classifier, or "
            "of a backbone one map by video_rs.models.detection.SingleMap"
        )
    if not expected.isfinite().all():
        raise InputError(
            "the model's logits for clips in [0, 1] are not all finite; allowed: finite ones, which an engine's can be "
            "compared with; check the model's weights"
        )
    return expected
