"""Classification of labelled clips, and of clips whose labels a network has given (Lee 2013, "Pseudo-label").

Soft labels, the probabilities of a teacher, are targets like those that mixup and cutmix make of labels, so both go on,
and so does label smoothing. Noisy Student (Xie et al. 2020, arXiv 1911.04252) is this with a student that sees more
noise than its teacher did.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from video_rs.engine.objectives.classification import Mix
from video_rs.engine.objectives.losses import SigmoidLoss, SoftmaxLoss
from video_rs.engine.objectives.objective import Losses, Network, Ratio


@dataclass(frozen=True)
class PseudoLabels:
    """Which clips have labels that a network has given, and what they are.

    Attributes:
        first_record: the records of a loader from this one on have such labels.
        soft_labels: float32 ``[N, K]`` on the CPU, the targets of those records; None: their labels are hard ones.
        weight: of their losses, where labelled clips have 1.
    """

    first_record: int
    soft_labels: Tensor | None = None
    weight: float = 1.0

    def places(self, batch: Any) -> Tensor:
        """Return which clips of a batch have such labels, as int64 positions on the CPU."""
        return (batch.records >= self.first_record).nonzero().flatten()

    def soften(self, targets: Tensor, batch: Any, places: Tensor) -> Tensor:
        """Return targets float ``[B, K]`` with the soft labels at :meth:`places`."""
        if self.soft_labels is None:
            return targets
        rows = batch.records[places] - self.first_record
        soft = self.soft_labels[rows].to(targets.device, targets.dtype)
        return targets.index_copy(0, places.to(targets.device), soft)


@dataclass(frozen=True)
class PseudoLabelled:
    """The loss of labelled and pseudo-labelled clips; both, and how often the pseudo-labels are met, are logged apart.

    A clip is weighted as a whole; one that is mixed of both kinds has the weight that its shares give.

    Logged: ``top1`` of the labelled clips; ``labelled_loss`` and ``pseudo_loss``, without the weight; ``agreement``,
    how many pseudo-labelled clips have their label on top; ``pseudo_share``, their share of all clips.

    Attributes:
        loss: of each clip, from its logits and soft targets.
        prepare: uint8 clips on the CPU -> float clips on the device.
        pseudo: which clips are pseudo-labelled.
        mix: mixes the clips of a micro-batch with each other, and their targets; None leaves them as they are.
    """

    loss: SoftmaxLoss | SigmoidLoss
    prepare: Callable[[Tensor], Tensor]
    pseudo: PseudoLabels
    mix: Mix | None = None

    logged = ("top1", "labelled_loss", "pseudo_loss", "agreement", "pseudo_share")

    def __call__(self, network: Network, batch: Any, generator: torch.Generator) -> Losses:
        """Return the losses of a micro-batch, which also has ``records``, int64 ``[B]`` on the CPU."""
        clips = self.prepare(batch.clips)
        labels = batch.labels.to(clips.device, non_blocking=True)
        places = self.pseudo.places(batch)
        targets = self.pseudo.soften(self.loss.soft_targets(labels), batch, places)

        places = places.to(clips.device)
        weights = targets.new_ones(len(targets), 1).index_fill(0, places, self.pseudo.weight)
        if self.mix is not None:
            # The weights are one more column that is mixed.
            clips, mixed = self.mix(clips, torch.cat([targets, weights], dim=1), generator)
            targets, weights = mixed[:, :-1], mixed[:, -1:]

        logits = network(clips)
        losses = self.loss(logits, targets)
        return Losses(losses * weights[:, 0], self._ratios(logits.detach(), labels, losses.detach(), places))

    def _ratios(self, logits: Tensor, labels: Tensor, losses: Tensor, places: Tensor) -> dict[str, Ratio]:
        """Return what is logged; ``places`` are the positions of the pseudo-labelled clips."""
        is_labelled = torch.ones(len(labels), dtype=torch.bool, device=labels.device).index_fill(0, places, False)
        labelled = is_labelled.nonzero().flatten()

        ratios = {}
        for kind, name, chosen in (("labelled", "top1", labelled), ("pseudo", "agreement", places)):
            own_labels = labels[chosen]
            hits = self.loss.hits(logits[chosen], own_labels)
            ratios[name] = Ratio(hits, self.loss.counted(own_labels))
            ratios[f"{kind}_loss"] = Ratio(losses[chosen].sum(), len(chosen))
        ratios["pseudo_share"] = Ratio(len(places), len(labels))
        return ratios
