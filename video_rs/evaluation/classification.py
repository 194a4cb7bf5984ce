"""How well classes are told apart: scikit-learn's metrics, and those in which a failed video counts."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn import metrics

# Smaller probabilities count as this one in a log loss, which would be infinite for 0.
SMALLEST = 1e-12


class ClassScore(NamedTuple):
    """How well one class is found.

    Attributes:
        index: of the class.
        precision, recall, f1: in [0, 1]; 0 where nothing was predicted, or nothing is true.
        average_precision: in [0, 1], over all thresholds.
        videos: that have the class.
        predicted: how many were said to have it.
    """

    index: int
    precision: float
    recall: float
    f1: float
    average_precision: float
    videos: int
    predicted: int


def predicted_classes(probabilities: np.ndarray, multi_label: bool) -> np.ndarray:
    """Return which classes are said to be there, bool ``[N, K]``: the best one, or with several all of one half up."""
    if multi_label:
        return probabilities >= 0.5
    best = probabilities.argmax(1)
    return np.arange(probabilities.shape[1]) == best[:, None]


def class_scores(probabilities: np.ndarray, truth: np.ndarray, multi_label: bool) -> list[ClassScore]:
    """Return the scores of the classes that some video has, in their order.

    Args:
        probabilities: float ``[N, K]``.
        truth: bool ``[N, K]``.
        multi_label: a video may have several classes.
    """
    predicted = predicted_classes(probabilities, multi_label)
    # Of a column alone, scikit-learn would give the scores of "no" and of "yes": with another one, columns are classes.
    truth, predicted = (np.pad(part, ((0, 0), (0, 1))) for part in (truth, predicted))
    precision, recall, f1, videos = metrics.precision_recall_fscore_support(truth, predicted, zero_division=0)
    scores = []
    # The column more has no video.
    for index in np.flatnonzero(videos):
        average = float(metrics.average_precision_score(truth[:, index], probabilities[:, index]))
        of_class = (float(precision[index]), float(recall[index]), float(f1[index]), average)
        scores.append(ClassScore(int(index), *of_class, int(videos[index]), int(predicted[:, index].sum())))
    return scores


def macro_f1(predicted: np.ndarray, truth: np.ndarray) -> Callable[[np.ndarray], float]:
    """Return the statistic that is the mean F1 of the classes that a video of some weight has; NaN without one.

    It is scikit-learn's with ``sample_weight``, in sums that a thousand draws of the weights can afford.

    Args:
        predicted, truth: bool ``[N, K]``.
    """
    # Most entries are False: the sums skip them.
    both = sparse.csr_array((predicted & truth).astype(np.float64))
    either = sparse.csr_array(predicted.astype(np.float64) + truth)
    there = sparse.csr_array(truth.astype(np.float64))

    def mean(weights: np.ndarray) -> float:
        classes = weights @ there > 0
        if not classes.any():
            return float("nan")
        f1 = 2 * (weights @ both)[classes] / (weights @ either)[classes]
        return float(f1.mean())

    return mean


def mean_average_precision(probabilities: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> float:
    """Return the mean average precision of the classes that a video of some weight has; NaN without one."""
    kept = weights > 0
    classes = truth[kept].any(0)
    if not classes.any():
        return float("nan")
    return float(
        metrics.average_precision_score(
            truth[kept][:, classes], probabilities[kept][:, classes], average="macro", sample_weight=weights[kept]
        )
    )


def hits(probabilities: np.ndarray, truth: np.ndarray, k: int) -> np.ndarray:
    """Return 1.0 for each video that has one of its classes among the ``k`` best, else 0.0, float64 ``[N]``.

    A class of probability 0 is not among them: of several such, their order would decide.
    """
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(truth & (probabilities > 0), best, 1).any(1).astype(np.float64)


def log_losses(probabilities: np.ndarray, truth: np.ndarray, multi_label: bool) -> np.ndarray:
    """Return the cross-entropy of each video in nats, float64 ``[N]``; of several classes the mean over all."""
    if multi_label:
        of_truth = np.where(truth, probabilities, 1 - probabilities)
        return -np.log(np.maximum(of_truth.astype(np.float64), SMALLEST)).mean(1)
    of_truth = (probabilities.astype(np.float64) * truth).sum(1)
    return -np.log(np.maximum(of_truth, SMALLEST))


def confusion(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return how many videos of each class (rows) were taken for each one (columns), int64 ``[K, K]``."""
    classes = np.arange(truth.shape[1])
    return metrics.confusion_matrix(truth.argmax(1), probabilities.argmax(1), labels=classes)
