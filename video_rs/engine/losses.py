"""Losses, one value per clip: the caller divides by the global count of valid clips."""

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy with label smoothing (Szegedy et al. 2016): ``smoothing`` of the target over all classes.

    Args:
        logits: float ``[B, K]``.
        targets: int64 ``[B]`` in [0, K), or float ``[B, K]``, each row of sum 1: these are taken as they are, since
            :func:`soft_targets` has smoothed them.
        smoothing: in [0, 1], of integer targets.

    Returns:
        float32 ``[B]``.
    """
    if targets.is_floating_point():
        return functional.cross_entropy(logits.float(), targets.float(), reduction="none")
    return functional.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=smoothing)


def soft_targets(labels: Tensor, num_classes: int, smoothing: float = 0.0) -> Tensor:
    """The targets behind :func:`cross_entropy`'s integer ones: ``smoothing / K`` everywhere, the rest on the label.

    Args:
        labels: int64 ``[B]`` in [0, K).
        num_classes: K.
        smoothing: in [0, 1].

    Returns:
        float32 ``[B, K]`` on the device of ``labels``, each row of sum 1.
    """
    share = smoothing / num_classes
    targets = torch.full((len(labels), num_classes), share, dtype=torch.float32, device=labels.device)
    return targets.scatter_(1, labels[:, None], 1 - smoothing + share)
