"""Accuracy from sums and counts, divided once; every count here is over videos."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True)
class VideoResult:
    """One tested video.

    Attributes:
        index: position in its list.
        video: path.
        label: class, or None if unknown.
        probabilities: float32 ``[K]``, the mean softmax over views, or None where the video could not be read.
        error: why it could not be read, or None.
        views: how many views the mean is over.
        id: of its record: the segments of one video have one each.
    """

    index: int
    video: str
    label: int | None
    probabilities: Tensor | None = None
    error: str | None = None
    views: int = field(default=0, compare=False)
    id: str = ""


def top_k_hits(scores: Tensor, labels: Tensor, k: int) -> int:
    """How many rows of ``scores`` (float ``[B, K]``) have their label (int64 ``[B]``) among the ``k`` largest."""
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return int((best == labels[:, None]).any(1).sum())


def top_labels(probabilities: Tensor, names: Sequence[str], k: int = 5) -> list[tuple[str, float]]:
    """The ``k`` best classes (fewer if there are fewer) of float ``[K]`` as (name, probability), best first."""
    best = probabilities.topk(min(k, len(names)))
    return [(names[i], score) for i, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)]


def log_loss(results: Sequence[VideoResult]) -> float | None:
    """Mean negative log probability of the true class over the videos that could be read; None without any."""
    read = [r.probabilities[r.label].clamp(min=1e-12).log() for r in results if r.error is None]
    return -float(torch.stack(read).mean()) if read else None


def summarize(results: Sequence[VideoResult], num_classes: int) -> dict[str, float]:
    """``top1``, ``topk``, ``k``, ``videos``, ``failed``, ``top1_all``.

    Accuracies are in [0, 1] over the videos that could be read; ``top1_all`` counts failed ones as wrong; ``videos``
    counts all. ``k`` is 5, or the number of classes where there are fewer. Without a readable video they are 0.
    """
    read = [r for r in results if r.error is None]
    k = min(5, num_classes)
    top1 = topk = 0
    if read:
        scores = torch.stack([r.probabilities for r in read])
        labels = torch.tensor([r.label for r in read])
        top1, topk = top_k_hits(scores, labels, 1), top_k_hits(scores, labels, k)
    return {
        "top1": top1 / max(1, len(read)),
        "topk": topk / max(1, len(read)),
        "k": k,
        "videos": len(results),
        "failed": len(results) - len(read),
        "top1_all": top1 / max(1, len(results)),
    }


def confusion_matrix(results: Sequence[VideoResult], num_classes: int) -> Tensor:
    """int64 ``[K, K]``: rows are true classes, columns predicted ones; failed videos do not count."""
    matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    for result in results:
        if result.error is None:
            matrix[result.label, int(result.probabilities.argmax())] += 1
    return matrix
