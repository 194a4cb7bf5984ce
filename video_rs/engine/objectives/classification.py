"""Classification of clips, one class or several each, with mixing of the clips of a micro-batch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from video_rs.engine.objectives.losses import SigmoidLoss, SoftmaxLoss
from video_rs.engine.objectives.objective import Losses, Network, Ratio

# Float clips [B, 3, T, H, W], float targets [B, K] and a CPU generator -> both mixed.
Mix = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Classification:
    """The loss of labelled clips; logs ``top1``, in which a mixed clip counts for its own label, not its partner's.

    Attributes:
        loss: of each clip, from its logits and its labels or soft targets.
        prepare: uint8 clips on the CPU -> float clips on the device.
        mix: mixes the clips of a micro-batch with each other, and their targets; None leaves them as they are.
    """

    loss: SoftmaxLoss | SigmoidLoss
    prepare: Callable[[Tensor], Tensor]
    mix: Mix | None = None

    logged = ("top1",)

    def __call__(self, network: Network, batch: Any, generator: torch.Generator) -> Losses:
        """Return the losses of a micro-batch; ``batch.labels`` is what the loss takes. See :class:`Objective`."""
        clips = self.prepare(batch.clips)
        labels = batch.labels.to(clips.device, non_blocking=True)

        targets = labels
        if self.mix is not None:
            clips, targets = self.mix(clips, self.loss.soft_targets(labels), generator)

        logits = network(clips)

        # Top-1 counts the label that came with the clip, whatever it was mixed with.
        hits = self.loss.hits(logits.detach(), labels)
        return Losses(self.loss(logits, targets), {"top1": Ratio(hits, self.loss.counted(labels))})
