"""Losses, one value per clip: the caller divides by the global count of valid clips."""

from torch import Tensor
from torch.nn import functional


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float = 0.0) -> Tensor:
    """Softmax cross-entropy with label smoothing (Szegedy et al. 2016): ``smoothing`` of the target over all classes.

    Args:
        logits: float ``[B, K]``.
        labels: int64 ``[B]`` in [0, K).
        smoothing: in [0, 1].

    Returns:
        float32 ``[B]``.
    """
    return functional.cross_entropy(logits.float(), labels, reduction="none", label_smoothing=smoothing)
