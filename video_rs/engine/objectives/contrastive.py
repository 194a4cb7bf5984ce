"""Contrastive learning: clips of one video are to be alike, and unlike those of all others (InfoNCE, no labels).

SimCLR's loss (Chen et al. 2020, arXiv 2002.05709, "NT-Xent") on two clips of each video (CVRL: Qian et al. 2021, arXiv
2008.03800, section 3.1).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from video_rs.engine.gathering import rows_of_all_processes
from video_rs.engine.objectives.objective import Losses, Network, Ratio


@dataclass(frozen=True)
class Contrast:
    """The loss of clips that come in pairs: the clips 0 and 1 of a micro-batch are of one video, 2 and 3 of the next.

    A clip is compared with all other clips of its micro-batch, those of all processes. Its loss is the cross-entropy of
    finding its partner among them, by cosine similarity over the temperature. Accumulated micro-batches are not
    compared with each other.

    Logged: ``contrast_loss``; ``partner_top1``, how often the partner is the most similar of all; the mean cosine
    ``positive_similarity`` of partners, and ``negative_similarity`` of clips of different videos.

    Attributes:
        prepare: uint8 clips on the CPU -> float clips on the device.
        temperature: above 0.
    """

    prepare: Callable[[Tensor], Tensor]
    temperature: float = 0.1

    logged = ("contrast_loss", "partner_top1", "positive_similarity", "negative_similarity")

    def __call__(self, network: Network, batch: Any, generator: torch.Generator) -> Losses:
        """Return the losses of a micro-batch, which has an even number of clips. All processes call this together."""
        projected = network(self.prepare(batch.clips))
        # Half precision is raised; a network in float64, as tests compare it, stays there.
        projected = projected.to(torch.promote_types(projected.dtype, torch.float32))
        own = functional.normalize(projected, dim=1)

        # Clips that stand in for none are compared with nothing, but take part in the exchange and in its gradient.
        is_stand_in = batch.size == 0
        everyones, first = rows_of_all_processes(own, 0 if is_stand_in else len(own))
        if is_stand_in:
            nothing = {name: Ratio(0, 0) for name in self.logged}
            return Losses(0 * own.sum(1) + 0 * everyones.sum(), nothing)
        return self._compare(own, everyones, first)

    def _compare(self, own: Tensor, everyones: Tensor, first: int) -> Losses:
        """Return the losses of own clips ``[n, d]``, which are the rows from ``first`` on of all clips ``[N, d]``."""
        similarity = own @ everyones.T
        places = torch.arange(len(own), device=own.device)
        itself = torch.zeros_like(similarity, dtype=torch.bool)
        itself[places, first + places] = True
        # Partners are neighbours: 0 and 1, 2 and 3. Each process has whole pairs, so first is even.
        partners = first + (places ^ 1)

        logits = (similarity / self.temperature).masked_fill(itself, -torch.inf)
        losses = functional.cross_entropy(logits, partners, reduction="none")

        found = (logits.argmax(1) == partners).sum()
        similarity = similarity.detach()
        positive = similarity[places, partners]
        of_others = similarity.masked_fill(itself, 0).sum(1) - positive
        others = len(everyones) - 2
        negative = Ratio(of_others.sum() / max(1, others), len(own) if others else 0)
        ratios = {
            "contrast_loss": Ratio(losses.detach().sum(), len(losses)),
            "partner_top1": Ratio(found, len(losses)),
            "positive_similarity": Ratio(positive.sum(), len(losses)),
            "negative_similarity": negative,
        }
        return Losses(losses, ratios)
