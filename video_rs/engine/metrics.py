"""Accuracy and average precision from sums and counts, divided once; every count here is over videos."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

# Of top-k accuracy, where there are as many classes.
K = 5
# Videos whose classes are ordered at a time: the order of all takes twice the memory of the scores.
ROWS = 1024
# Smaller probabilities count as this one in a log loss, which would be infinite for 0.
SMALLEST = 1e-12


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
        view_probabilities: float32 ``[V, K]`` of each view, where they are kept.
    """

    index: int
    video: str
    labels: tuple[int, ...]
    probabilities: Tensor | None = None
    error: str | None = None
    views: int = field(default=0, compare=False)
    id: str = ""
    view_probabilities: Tensor | None = field(default=None, compare=False)


def best_classes(scores: Tensor, k: int) -> Tensor:
    """Return the ``k`` best classes, best first, int64 ``[..., k]`` of float ``[..., K]``; all of fewer.

    Of equal ones, such as sigmoids that float32 has made 1, the first in their order comes first, as in ``argmax``;
    ``topk`` takes any.
    """
    return scores.argsort(dim=-1, descending=True, stable=True)[..., :k]


def top_k_hits(scores: Tensor, truth: Tensor, k: int) -> int:
    """Return how many videos have a true class among the ``k`` best.

    Args:
        scores: float ``[B, K]``.
        truth: bool ``[B, K]``, the classes of each video.
        k: how many of the best count; all where there are fewer classes.
    """
    hits = 0
    for rows, true in zip(scores.split(ROWS), truth.split(ROWS), strict=True):
        hits += int(true.gather(1, best_classes(rows, k)).any(1).sum())
    return hits


def average_precision(scores: Tensor, truth: Tensor, missed: int = 0) -> float:
    """Return the precision at each true video's rank, averaged over the true videos.

    Equal scores share the last one's rank. That is the area under the steps of the precision-recall curve, without
    interpolation, as in scikit-learn.

    Args:
        scores: float ``[N]`` of one class.
        truth: bool ``[N]``, which videos have the class.
        missed: true videos without a score, which count as never found.

    Returns:
        In [0, 1]; NaN where no video is true.
    """
    true_videos = float(truth.sum()) + missed
    if not true_videos:
        return math.nan

    order = scores.argsort(descending=True)
    ranked = scores[order]
    hits = truth[order].double().cumsum(0)

    # Precision and recall are taken where the score changes: videos of one score are found together.
    is_last = torch.ones(len(ranked), dtype=torch.bool)
    is_last[:-1] = ranked[:-1] != ranked[1:]
    found = hits[is_last]
    ranks = torch.arange(1, len(ranked) + 1)[is_last]
    precision = found / ranks
    newly_found = found.diff(prepend=torch.zeros(1))
    return float((precision * newly_found).sum()) / true_videos


def top_labels(probabilities: Tensor, names: Sequence[str], k: int = K) -> list[tuple[str, float]]:
    """Return the ``k`` best classes as (name, probability), best first; fewer where there are fewer classes.

    Args:
        probabilities: float ``[K]``.
        names: of the classes, in their order.
        k: how many.
    """
    best = best_classes(probabilities, k)
    pairs = zip(best.tolist(), probabilities[best].tolist(), strict=True)
    return [(names[index], score) for index, score in pairs]


def log_loss(results: Sequence[VideoResult], multi_label: bool = False) -> float | None:
    """Return the mean negative log probability of the true class over the videos that could be read.

    With ``multi_label`` it is the mean binary cross-entropy over classes and videos.

    Returns:
        None where no video could be read.
    """
    read = [result for result in results if result.error is None]
    if not read:
        return None

    scores, truth = _stacked(read, len(read[0].probabilities))
    if multi_label:
        of_truth = torch.where(truth, scores, 1 - scores)
    else:
        of_truth = scores[truth]
    return -float(of_truth.clamp(min=SMALLEST).log().mean())


def summarize(results: Sequence[VideoResult], num_classes: int, multi_label: bool = False) -> dict[str, float]:
    """Return ``top1``, ``topk``, ``k``, ``videos``, ``failed`` and ``top1_all``; with ``multi_label`` also mAP.

    Accuracies are in [0, 1] over the videos that could be read, 0 without any; ``top1_all`` counts failed videos as
    wrong; ``videos`` counts all. ``k`` is 5, or the number of classes where there are fewer. A video of several labels
    is right where one of them is on top, or among the ``k`` best; a video without labels has no part in accuracies.

    ``map`` is the mean of :func:`average_precision` over the classes that a readable video has, ``map_classes`` of all
    ``classes``; ``map_all`` over the classes that any video has, whose failed videos are never found.
    """
    read = [result for result in results if result.error is None]
    k = min(K, num_classes)
    top1 = 0
    topk = 0
    if read:
        scores, truth = _stacked(read, num_classes)
        top1 = top_k_hits(scores, truth, 1)
        topk = top_k_hits(scores, truth, k)

    # Videos without labels are predicted, too, but there is nothing to hit.
    labelled = sum(bool(result.labels) for result in results)
    labelled_read = sum(bool(result.labels) for result in read)
    accuracies = {
        "top1": top1 / max(1, labelled_read),
        "topk": topk / max(1, labelled_read),
        "k": k,
        "videos": len(results),
        "failed": len(results) - len(read),
        "top1_all": top1 / max(1, labelled),
    }
    if not multi_label:
        return accuracies
    return {**_mean_average_precision(results, read, num_classes), **accuracies}


def _mean_average_precision(
    results: Sequence[VideoResult], read: Sequence[VideoResult], num_classes: int
) -> dict[str, float]:
    """Return the keys of :func:`summarize` about mAP; ``read`` are the results without an error."""
    precisions = [found.precision for found in class_precisions(read, num_classes)]
    with_failed = [found.precision for found in class_precisions(results, num_classes)]
    return {
        "map": _mean(precisions),
        "map_classes": len(precisions),
        "classes": num_classes,
        "map_all": _mean(with_failed),
    }


def probability_of_so_few(hits: int, trials: int, chance: float) -> float:
    """Return how probable ``hits`` or fewer are where each of ``trials`` hits with probability ``chance``."""
    total = 0.0
    for count in range(hits + 1):
        # Of the binomial coefficient and the powers, the logarithms: their factors overflow.
        ways = math.lgamma(trials + 1) - math.lgamma(count + 1) - math.lgamma(trials - count + 1)
        total += math.exp(ways + count * math.log(chance) + (trials - count) * math.log1p(-chance))
    return total


class ClassPrecision(NamedTuple):
    """How well one class is found.

    Attributes:
        index: of the class.
        precision: its average precision, in [0, 1].
        videos: how many have it.
    """

    index: int
    precision: float
    videos: int


def class_precisions(results: Sequence[VideoResult], num_classes: int) -> list[ClassPrecision]:
    """Return how well each class that a video has is found, in the order of the classes; failed videos never are."""
    read = [result for result in results if result.error is None]
    failed = [result for result in results if result.error is not None]
    scores, truth = _stacked(read, num_classes)
    found = truth.sum(0).tolist()
    missed = _truth(failed, num_classes).sum(0).tolist()

    precisions = []
    for index in range(num_classes):
        # A class that no video has here would count with a precision of nothing.
        videos = int(found[index]) + missed[index]
        if videos:
            precision = average_precision(scores[:, index], truth[:, index], missed[index])
            precisions.append(ClassPrecision(index, precision, videos))
    return precisions


def _stacked(read: Sequence[VideoResult], num_classes: int) -> tuple[Tensor, Tensor]:
    """Return probabilities, float ``[N, K]``, and which classes are true, bool ``[N, K]``."""
    truth = _truth(read, num_classes)
    if not read:
        return torch.zeros(0, num_classes), truth
    return torch.stack([result.probabilities for result in read]), truth


def _truth(results: Sequence[VideoResult], num_classes: int) -> Tensor:
    truth = torch.zeros(len(results), num_classes, dtype=torch.bool)
    for row, result in zip(truth, results, strict=True):
        row[list(result.labels)] = True
    return truth


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def confusion_matrix(results: Sequence[VideoResult], num_classes: int) -> Tensor:
    """Return int64 ``[K, K]``, rows true classes and columns predicted ones, of videos with one label each.

    Failed videos do not count.
    """
    matrix = torch.zeros(num_classes, num_classes, dtype=torch.int64)
    for result in results:
        if result.error is None:
            predicted = int(result.probabilities.argmax())
            matrix[result.labels[0], predicted] += 1
    return matrix
