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

from video_rs.runtime.errors import InputError


@dataclass(frozen=True)
class Mixing:
    """Whether a micro-batch is mixed, and how; with both alphas above 0 it takes either kind with equal chance.

    Attributes:
        mixup_alpha: of mixup's Beta(alpha, alpha), 0 is off; the larger, the more even the mixtures.
        cutmix_alpha: of cutmix's, 0 is off.
        prob: probability that a micro-batch is mixed.
    """

    mixup_alpha: float = 0.0
    cutmix_alpha: float = 0.0
    prob: float = 1.0

    def __post_init__(self):
        for name in ("mixup_alpha", "cutmix_alpha"):
            _require(_is_number(getattr(self, name)), name, getattr(self, name), "a finite number of at least 0")
        _require(_is_number(self.prob, 1), "prob", self.prob, "a number in [0, 1]")

    def __call__(self, clips: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Clips and targets after mixing, in new tensors; the same tensors where nothing is mixed.

        Fewer than two clips are left alone. Which kind, the partners, the share and the box are functions of the
        generator and the shape of ``clips`` alone.

        Args:
            clips: float ``[B, 3, T, H, W]`` of any range.
            targets: float ``[B, K]``; label smoothing before or after gives the same.
            generator: on the CPU; the global ones are not used.
        """
        _check_batch(clips, targets)
        kinds = [kind for kind in ("mixup", "cutmix") if getattr(self, f"{kind}_alpha") > 0]
        if len(clips) < 2 or not kinds or torch.rand((), generator=generator) >= self.prob:
            return clips, targets
        kind = kinds[int(torch.randint(len(kinds), (), generator=generator))]
        partners = random_ring(len(clips), generator).to(clips.device)
        share = random_share(getattr(self, f"{kind}_alpha"), generator)
        if kind == "mixup":
            return mixup(clips, targets, partners, share)
        return cutmix(clips, targets, partners, random_cut(*clips.shape[3:], share, generator))


def mixup(clips: Tensor, targets: Tensor, partners: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Each clip weighs ``share``, its partner the rest.

    Args:
        clips: float ``[B, 3, T, H, W]``.
        targets: float ``[B, K]``.
        partners: int64 ``[B]``, the index of each clip's partner.
        share: in [0, 1].

    Returns:
        Both mixed, in new tensors of the same shapes, dtypes and memory formats.
    """
    return clips.lerp(clips[partners], 1 - share), targets.lerp(targets[partners], 1 - share)


def cutmix(clips: Tensor, targets: Tensor, partners: Tensor, box: tuple[int, int, int, int]) -> tuple[Tensor, Tensor]:
    """The partner's pixels in ``box`` of all frames; the target's share is exactly what the box leaves of the area.

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
    covered = (bottom - top) * (right - left) / (clips.shape[3] * clips.shape[4])
    return mixed, targets.lerp(targets[partners], covered)


def random_ring(count: int, generator: torch.Generator) -> Tensor:
    """int64 ``[count]``: a uniformly random permutation that is one cycle, so without a fixed point from two on."""
    order = torch.randperm(count, generator=generator)
    return torch.empty_like(order).scatter_(0, order, order.roll(1))


def random_share(alpha: float, generator: torch.Generator) -> float:
    """A draw from Beta(alpha, alpha), in [0, 1].

    torch's Beta takes no generator. NumPy's, seeded from ours, holds for any alpha above 0, where gamma draws over
    their sum would be 0 / 0 for small ones.
    """
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def random_cut(height: int, width: int, share: float, generator: torch.Generator) -> tuple[int, int, int, int]:
    """``(top, left, bottom, right)`` in pixels, half-open, as the authors' ``rand_bbox`` draws it.

    The box has the frame's aspect and ``1 - share`` of its area, rounded down to even sides; its centre is uniform over
    the pixels, and what lies outside the frame is cut off. It may be empty.
    """
    scale = math.sqrt(1 - share)
    top, bottom = _span(height, int(height * scale) // 2, generator)
    left, right = _span(width, int(width * scale) // 2, generator)
    return top, left, bottom, right


def _span(size: int, half: int, generator: torch.Generator) -> tuple[int, int]:
    """``half`` pixels to either side of a random one of ``size``, inside of them."""
    centre = int(torch.randint(size, (), generator=generator))
    return max(0, centre - half), min(size, centre + half)


def _check_batch(clips: Tensor, targets: Tensor) -> None:
    got = f"{clips.dtype} {list(clips.shape)}, {targets.dtype} {list(targets.shape)}"
    right = clips.ndim == 5 and targets.ndim == 2 and len(clips) == len(targets)
    right = right and clips.is_floating_point() and targets.is_floating_point()
    _require(right, "clips, targets", got, "float [B, 3, T, H, W] and float [B, K]")


def _is_number(value, high: float = math.inf) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and 0 <= value <= high


def _require(right: bool, name: str, got, allowed: str) -> None:
    if not right:
        raise InputError(f"{name}: got {got!r}, allowed: {allowed}; correct the argument or the config")
