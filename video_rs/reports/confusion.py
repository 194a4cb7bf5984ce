"""Numbers read off a confusion matrix: int ``[K, K]`` counting videos, rows the true class, columns the predicted."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from video_rs.runtime.errors import InputError


class ClassAccuracy(NamedTuple):
    """One class: ``accuracy`` is ``correct / total`` in [0, 1]."""

    index: int
    name: str
    correct: int
    total: int
    accuracy: float


class ConfusedPair(NamedTuple):
    """Videos of class ``true`` taken for ``predicted``: how many, and their share of ``true`` in [0, 1]."""

    true: str
    predicted: str
    count: int
    share: float


def checked(confusion: object, names: Sequence[str]) -> np.ndarray:
    """Return a confusion matrix as int64 ``[K, K]``.

    Args:
        confusion: an array or a CPU tensor.
        names: of the K classes.

    Raises:
        InputError: the matrix is not square, or its side is not the number of names.
    """
    counts = np.asarray(confusion)
    if counts.shape != (len(names), len(names)):
        wanted = f"[{len(names)}, {len(names)}] for {len(names)} label names"
        raise InputError(f"confusion matrix: got shape {list(counts.shape)}, expected {wanted}")
    return counts.astype(np.int64)


def row_shares(counts: np.ndarray) -> np.ndarray:
    """Return each row over its sum, float64 ``[K, K]`` in [0, 1]; a class without videos gets zeros."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def class_accuracies(counts: np.ndarray, names: Sequence[str]) -> list[ClassAccuracy]:
    """Return the classes that have videos, worst first; equal ones in label order."""
    rows = []
    for index, name in enumerate(names):
        correct = int(counts[index, index])
        total = int(counts[index].sum())
        if total > 0:
            rows.append(ClassAccuracy(index, name, correct, total, correct / total))
    return sorted(rows, key=lambda row: row.accuracy)


def most_confused(counts: np.ndarray, names: Sequence[str], limit: int) -> list[ConfusedPair]:
    """Return pairs of different classes, most videos first; equal ones by share, then in label order.

    Args:
        counts: int64 ``[K, K]``.
        names: of the K classes.
        limit: how many pairs at most.
    """
    pairs = []
    shares = row_shares(counts)
    for true, predicted in np.argwhere(counts):
        if true != predicted:
            count = int(counts[true, predicted])
            share = float(shares[true, predicted])
            pairs.append(ConfusedPair(names[true], names[predicted], count, share))

    pairs.sort(key=lambda pair: (-pair.count, -pair.share))
    return pairs[:limit]
