"""Accuracy and average precision from sums and counts, divided once; every count here is over videos."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class VideoResult:
    """One tested video.

    Attributes:
        index: position in its list.
        video: path.
        labels: classes; none if unknown.
        probabilities: float32 ``[K]``, the mean over views, or None where the video could not be read.
        error: why it could not be read, or None.
        views: how many views the mean is over.
        id: of its record: the segments of one video have one each.
    """

    index: int
    video: str
    labels: tuple[int, ...]
    probabilities: Tensor | None = None
    error: str | None = None
    views: int = field(default=0, compare=False)
    id: str = ""


def top_k_hits(scores: Tensor, truth: Tensor, k: int) -> int:
    """How many rows of ``scores`` (float ``[B, K]``) have a true class (bool ``[B, K]``) among the ``k`` largest."""
    best = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return int(truth.gather(1, best).any(1).sum())


def average_precision(scores: Tensor, truth: Tensor, missed: int = 0) -> float:
    """The precision at each true video's rank, averaged over the true videos; equal scores share the last one's rank.

    That is the area under the steps of the precision-recall curve, without interpolation, as in scikit-learn.

    Args:
        scores: float ``[N]`` of one class.
        truth: bool ``[N]``, which videos have it.
        missed: true videos without a score, which count as never found.

    Returns:
        In [0, 1]; NaN where no video is true.
    """
    order = scores.argsort(descending=True)
    ranked, hits = scores[order], truth[order].double().cumsum(0)
    last = torch.ones(len(ranked), dtype=torch.bool)
    last[:-1] = ranked[:-1] != ranked[1:]
    found = hits[last]
    precision = found / (torch.arange(1, len(ranked) + 1)[last])
    true = float(truth.sum()) + missed
    return float((precision * found.diff(prepend=torch.zeros(1))).sum()) / true if true else math.nan


def top_labels(probabilities: Tensor, names: Sequence[str], k: int = 5) -> list[tuple[str, float]]:
    """The ``k`` best classes (fewer if there are fewer) of float ``[K]`` as (name, probability), best first."""
    best = probabilities.topk(min(k, len(names)))
    return [(names[i], score) for i, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)]


def log_loss(results: Sequence[VideoResult], multi_label: bool = False) -> float | None:
    """Mean negative log probability of the true class over the videos that could be read; None without any.

    With ``multi_label``, of the truth about each class: the mean binary cross-entropy over classes and videos.
    """
    read = [r for r in results if r.error is None]
    if not read:
        return None
    scores, truth = _stacked(read, len(read[0].probabilities))
    if multi_label:
        right = torch.where(truth, scores, 1 - scores)
        return -float(right.clamp(min=1e-12).log().mean())
    return -float(scores[truth].clamp(min=1e-12).log().mean())


def summarize(results: Sequence[VideoResult], num_classes: int, multi_label: bool = False) -> dict[str, float]:
    """``top1``, ``topk``, ``k``, ``videos``, ``failed``, ``top1_all``; with ``multi_label`` also of mAP.

    Accuracies are in [0, 1] over the videos that could be read; ``top1_all`` counts failed ones as wrong; ``videos``
    counts all. ``k`` is 5, or the number of classes where there are fewer. Without a readable video they are 0. A video
    of several labels is right where one of them is on top, or among the ``k`` best; one without any has no part in
    accuracies.

    ``map`` is the mean of :func:`average_precision` over the classes that a readable video has, ``map_classes`` of all
    ``classes``; ``map_all`` over those that any video has, whose failed ones are never found.
    """
    read = [r for r in results if r.error is None]
    k = min(5, num_classes)
    top1 = topk = 0
    if read:
        scores, truth = _stacked(read, num_classes)
        top1, topk = top_k_hits(scores, truth, 1), top_k_hits(scores, truth, k)
    means = {}
    if multi_label:
        precisions = [c.precision for c in class_precisions(read, num_classes)]
        means = {
            "map": _mean(precisions),
            "map_classes": len(precisions),
            "classes": num_classes,
            "map_all": _mean([c.precision for c in class_precisions(results, num_classes)]),
        }
    labelled, labelled_read = (sum(bool(r.labels) for r in part) for part in (results, read))
    return {
        **means,
        "top1": top1 / max(1, labelled_read),
        "topk": topk / max(1, labelled_read),
        "k": k,
        "videos": len(results),
        "failed": len(results) - len(read),
        "top1_all": top1 / max(1, labelled),
    }


def probability_of_so_few(hits: int, trials: int, chance: float) -> float:
    """Return how probable ``hits`` or fewer are where each of ``trials`` hits with probability ``chance``."""
    logs = [
        math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        + k * math.log(chance) + (trials - k) * math.log1p(-chance)
        for k in range(hits + 1)
    ]  # fmt: skip
    return sum(map(math.exp, logs))


class ClassPrecision(NamedTuple):
    """Average precision of class ``index``, and how many ``videos`` have it."""

    index: int
    precision: float
    videos: int


def class_precisions(results: Sequence[VideoResult], num_classes: int) -> list[ClassPrecision]:
    """Of each class that a video has, in the order of the classes; failed videos are never found."""
    read = [r for r in results if r.error is None]
    scores, truth = _stacked(read, num_classes)
    missed = _truth([r for r in results if r.error is not None], num_classes).sum(0).tolist()
    videos = [int(count) + lost for count, lost in zip(truth.sum(0), missed, strict=True)]
    return [
        ClassPrecision(i, average_precision(scores[:, i], truth[:, i], missed[i]), videos[i])
        for i in range(num_classes)
        if videos[i]
    ]


def _stacked(read: Sequence[VideoResult], num_classes: int) -> tuple[Tensor, Tensor]:
    """Probabilities, float ``[N, K]``, and which classes are true, bool ``[N, K]``."""
    scores = torch.stack([r.probabilities for r in read]) if read else torch.zeros(0, num_classes)
    return scores, _truth(read, num_classes)


def _truth(results: Sequence[VideoResult], num_classes: int) -> Tensor:
    truth = torch.zeros(len(results), num_classes, dtype=torch.bool)
    for row, result in zip(truth, results, strict=True):
        row[list(result.labels)] = True
    return truth


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def confusion_matrix(results: Sequence[VideoResult], num_classes: int) -> Tensor:
    """int64 ``[K, K]``: rows are true classes, columns predicted ones; failed videos do not count.

    Of videos with one label each.
    """
    matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    for result in results:
        if result.error is None:
            matrix[result.labels[0], int(result.probabilities.argmax())] += 1
    return matrix
