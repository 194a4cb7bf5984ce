"""Mixing of the clips of a micro-batch with each other, on their device, with their targets.

Mixup (Zhang et al. 2018, arXiv 1710.09412): a clip becomes ``share * itself + (1 - share) * its partner``, and so does
its target. Cutmix (Yun et al. 2019, arXiv 1905.04899): a box of the clip, the same in all frames, shows its partner,
and the target's share is what the box leaves of the area. As in both authors' code, one share ~ Beta(alpha, alpha) and
one box are drawn for the whole micro-batch.

Partners form one random ring (a random cyclic permutation), where the authors permute at random. No clip is its own
partner, which would leave it unmixed, and clips of one video, which lie side by side in a micro-batch
(``DATA.CLIPS_PER_VIDEO``), are not always mixed with each other, as they would be after rolling by one.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from video_rs.data.arguments import require


@dataclass(frozen=True)
class Mixing:
    """Whether and how a micro-batch is mixed; with both alphas above 0 each kind has the same chance.

    Attributes:
        mixup_alpha: of mixup's Beta(alpha, alpha), 0 is off; the larger, the more even the mixtures.
        cutmix_alpha: of cutmix's, 0 is off.
        prob: probability that a micro-batch is mixed.
    """

    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    prob: float = 1.0

    def __call__(self, clips: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return clips and targets after mixing in new tensors, or the same tensors where nothing is mixed.

        Fewer than two clips are left alone. Which kind, the partners, the share and the box are functions of the
        generator and the shape of ``clips`` alone.

        Args:
            clips: float ``[B, 3, T, H, W]`` of any range.
            targets: float ``[B, K]``; label smoothing before or after gives the same.
            generator: on the CPU; the global ones are not used.
        """
        _check_batch(clips, targets)
        kinds = [kind for kind, alpha in self._alphas().items() if alpha > 0]
        if len(clips) < 2 or not kinds:
            return clips, targets
        if torch.rand((), generator=generator) >= self.prob:
            return clips, targets

        # The order of these draws is part of what a seed means.
        kind = kinds[int(torch.randint(len(kinds), (), generator=generator))]
        partners = random_ring(len(clips), generator).to(clips.device)
        share = random_share(self._alphas()[kind], generator)
        if kind == "mixup":
            return mixup(clips, targets, partners, share)

        box = random_cut(*clips.shape[3:], share, generator)
        return cutmix(clips, targets, partners, box)

    def _alphas(self) -> dict[str, float]:
        return {"mixup": self.mixup_alpha, "cutmix": self.cutmix_alpha}


def mixup(clips: Tensor, targets: Tensor, partners: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Weigh each clip with ``share`` and its partner with the rest, and their targets alike.

    Args:
        clips: float ``[B, 3, T, H, W]``.
        targets: float ``[B, K]``.
        partners: int64 ``[B]``, the index of each clip's partner.
        share: in [0, 1].

    Returns:
        Both mixed, in new tensors of the same shapes, dtypes and memory formats.
    """
    mixed = clips.lerp(clips[partners], 1 - share)
    return mixed, targets.lerp(targets[partners], 1 - share)


def cutmix(clips: Tensor, targets: Tensor, partners: Tensor, box: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
    """Put the partner's pixels into a box of all frames; a target's share is exactly what the box leaves of the area.

    Args:
        clips: float ``[B, 3, T, H, W]``.
        targets: float ``[B, K]``.
        partners: int64 ``[B]``, the index of each clip's partner.
        box: top, left, bottom, right in pixels, half-open.

    Returns:
        Both mixed, in new tensors of the same shapes, dtypes and memory formats.
    """
    top, left, bottom, right = box
    mixed = clips.clone()
    mixed[..., top:bottom, left:right] = clips[..., top:bottom, left:right][partners]

    height, width = clips.shape[3:]
    covered = (bottom - top) * (right - left) / (height * width)
    return mixed, targets.lerp(targets[partners], covered)


def random_ring(count: int, generator: torch.Generator) -> Tensor:
    """Draw a permutation int64 ``[count]`` that is a single cycle: without a fixed point from two elements on.

    All such permutations have the same probability.
    """
    order = torch.randperm(count, generator=generator)
    return torch.empty_like(order).scatter_(0, order, order.roll(1))


def random_share(alpha: float, generator: torch.Generator) -> float:
    """Draw from Beta(alpha, alpha), in [0, 1].

    torch's Beta takes no generator. NumPy's, seeded from ours, holds for any alpha above 0, where gamma draws over
    their sum would be 0 / 0 for small ones.
    """
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def random_cut(height: int, width: int, share: float, generator: torch.Generator) -> tuple[int, int, int, int]:
    """Draw a box of a frame as the authors' ``rand_bbox`` does.

    The box has the frame's aspect and ``1 - share`` of its area, rounded down to even sides; its centre is uniform over
    the pixels, and what lies outside the frame is cut off. The box may be empty.

    Returns:
        top, left, bottom, right in pixels, half-open.
    """
    scale = math.sqrt(1 - share)
    top, bottom = _random_interval(height, int(height * scale) // 2, generator)
    left, right = _random_interval(width, int(width * scale) // 2, generator)
    return top, left, bottom, right


def _random_interval(size: int, half: int, generator: torch.Generator) -> tuple[int, int]:
    """Return the pixels of ``size`` that are up to ``half`` away from a random one, as a half-open interval."""
    centre = int(torch.randint(size, (), generator=generator))
    return max(0, centre - half), min(size, centre + half)


def _check_batch(clips: Tensor, targets: Tensor) -> None:
    has_shapes = clips.ndim == 5 and targets.ndim == 2 and len(clips) == len(targets)
    is_float = clips.is_floating_point() and targets.is_floating_point()
    got = f"{clips.dtype} {list(clips.shape)}, {targets.dtype} {list(targets.shape)}"
    require(has_shapes and is_float, "clips, targets", got, "float [B, 3, T, H, W] and float [B, K]")
