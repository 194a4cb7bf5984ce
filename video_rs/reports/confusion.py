"""Numbers read off a confusion matrix: int [K,K] counting videos, rows the true class, columns the predicted."""

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
    """``confusion`` (array or CPU tensor) as int64 [K,K] for K = ``len(names)``.

    Raises:
        InputError: it is not square, or its side is not the number of names.
    """
    counts = np.asarray(confusion)
    if counts.shape != (len(names), len(names)):
        wanted = f"[{len(names)}, {len(names)}] for {len(names)} label names"
        raise InputError(f"confusion matrix: got shape {list(counts.shape)}, expected {wanted}")
    return counts.astype(np.int64)


def row_shares(counts: np.ndarray) -> np.ndarray:
    """int64 [K,K] -> float64 [K,K] in [0, 1]: each row over its sum; a class without videos gets zeros."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def class_accuracies(counts: np.ndarray, names: Sequence[str]) -> list[ClassAccuracy]:
    """The classes that have videos, worst first; equal ones in label order."""
    rows = [
        ClassAccuracy(index, name, int(counts[index, index]), int(total), float(counts[index, index] / total))
        for index, (name, total) in enumerate(zip(names, counts.sum(axis=1), strict=True))
        if total > 0
    ]
    return sorted(rows, key=lambda row: row.accuracy)


def most_confused(counts: np.ndarray, names: Sequence[str], limit: int) -> list[ConfusedPair]:
    """At most ``limit`` pairs of different classes, most videos first; equal ones by share, then in label order."""
    shares = row_shares(counts)
    wrong = counts * (1 - np.eye(len(names), dtype=np.int64))
    pairs = sorted(zip(*np.nonzero(wrong), strict=True), key=lambda at: (-counts[at], -shares[at], at))
    return [
        ConfusedPair(names[true], names[predicted], int(counts[true, predicted]), float(shares[true, predicted]))
        for true, predicted in pairs[:limit]
    ]
