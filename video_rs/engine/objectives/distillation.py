"""Distillation: a student learns what a teacher says of the same clips (Hinton et al. 2015, arXiv 1503.02531)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from video_rs.engine.objectives.classification import Mix
from video_rs.engine.objectives.losses import SigmoidLoss, SoftmaxLoss
from video_rs.engine.objectives.objective import Losses, Network, Ratio
from video_rs.engine.probabilities import at_temperature


@dataclass(frozen=True)
class Divergence:
    """The Kullback-Leibler divergence from a teacher's probabilities to a student's, both at a temperature.

    It is multiplied by the temperature's square, so that its gradient keeps its size whatever the temperature is
    (Hinton et al. 2015, section 2).

    Attributes:
        temperature: above 0.
        multi_label: each class has a probability of its own; what counts is the mean over the classes.
    """

    temperature: float = 1.0
    multi_label: bool = False

    def soften(self, probabilities: Tensor) -> Tensor:
        """Return a teacher's probabilities float ``[B, K]`` at the temperature: what the divergence is from."""
        return at_temperature(probabilities, self.temperature, self.multi_label)

    def __call__(self, logits: Tensor, softened: Tensor) -> Tensor:
        """Return float32 ``[B]``, float64 for logits of float64.

        Args:
            logits: of the student, float ``[B, K]``.
            softened: of the teacher, float ``[B, K]``, from :meth:`soften`; may be mixed.
        """
        scaled = logits.to(torch.promote_types(logits.dtype, torch.float32)) / self.temperature
        softened = softened.to(scaled.dtype)
        if self.multi_label:
            divergence = _of_classes(softened, functional.logsigmoid(scaled))
            divergence = divergence + _of_classes(1 - softened, functional.logsigmoid(-scaled))
            return divergence.mean(1) * self.temperature**2
        return _of_classes(softened, scaled.log_softmax(1)).sum(1) * self.temperature**2


def _of_classes(probabilities: Tensor, others_log: Tensor) -> Tensor:
    """Return ``p * log(p / q)`` of each class from p and log q; 0 where p is 0."""
    return torch.special.xlogy(probabilities, probabilities) - probabilities * others_log


@dataclass(frozen=True)
class Distillation:
    """The loss of a student: ``weight`` times the divergence from its teacher, and the rest times that of its labels.

    Mixed clips are for the student alone; what the teacher says of each is mixed as the labels are.

    Logged: ``distill_loss``, the divergence; ``agreement``, the share of clips with the teacher's class on top. With
    labels also ``top1``, ``label_loss``, and ``teacher_top1``, how often the teacher is right.

    Attributes:
        loss: of the labels.
        prepare: uint8 clips on the CPU -> float clips of the student on the device.
        teacher: uint8 clips ``[B, 3, t, s, s]`` on the CPU, the batch's ``second_clips`` -> float32 probabilities
            ``[B, K]`` on the device, in the order of the student's classes.
        divergence: from the teacher's probabilities.
        weight: of the divergence, in [0, 1].
        mix: mixes the clips of a micro-batch with each other, and their targets; None leaves them as they are.
        has_labels: False: no label is looked at, and the weight is 1.
    """

    loss: SoftmaxLoss | SigmoidLoss
    prepare: Callable[[Tensor], Tensor]
    teacher: Callable[[Tensor], Tensor]
    divergence: Divergence
    weight: float = 1.0
    mix: Mix | None = None
    has_labels: bool = True

    @property
    def logged(self) -> tuple[str, ...]:
        """The names of the ratios."""
        of_labels = ("top1", "label_loss", "teacher_top1") if self.has_labels else ()
        return (*of_labels, "distill_loss", "agreement")

    def __call__(self, network: Network, batch: Any, generator: torch.Generator) -> Losses:
        """Return the losses of a micro-batch, which also has ``second_clips``, what the teacher is shown."""
        # Not inference mode, whose tensors no gradient may be computed from.
        with torch.no_grad():
            said = self.teacher(batch.second_clips)

        clips = self.prepare(batch.clips)
        labels = batch.labels.to(clips.device, non_blocking=True)
        softened = self.divergence.soften(said)
        targets = self.loss.soft_targets(labels) if self.has_labels else softened[:, :0]
        if self.mix is not None:
            # What the teacher says are further columns that are mixed.
            clips, mixed = self.mix(clips, torch.cat([targets, softened], dim=1), generator)
            targets, softened = mixed.split([targets.shape[1], softened.shape[1]], dim=1)

        logits = network(clips)
        losses = self.divergence(logits, softened)
        answers = logits.detach()
        agreeing = (answers.argmax(1) == said.argmax(1)).sum()
        ratios = {
            "distill_loss": Ratio(losses.detach().sum(), len(losses)),
            "agreement": Ratio(agreeing, len(losses)),
        }
        if not self.has_labels:
            return Losses(losses, ratios)

        of_labels = self.loss(logits, targets)
        counted = self.loss.counted(labels)
        ratios["label_loss"] = Ratio(of_labels.detach().sum(), len(of_labels))
        ratios["top1"] = Ratio(self.loss.hits(answers, labels), counted)
        ratios["teacher_top1"] = Ratio(self.loss.hits(said, labels), counted)
        return Losses(self.weight * losses + (1 - self.weight) * of_labels, ratios)
