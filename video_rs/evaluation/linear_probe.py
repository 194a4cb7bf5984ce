"""A linear classifier on features, as transfer is measured: logistic regression on standardised features.

How strongly it is regularised is chosen by cross-validation inside the training rows, with the videos of a group on one
side of each fold. As of Kornblith et al. 2019, "Do better ImageNet models transfer better?" (arXiv 1805.08974), but for
the folds, where they hold out a validation set of each data set.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from video_rs.runtime.errors import InputError

STRENGTHS = tuple(10.0**exponent for exponent in range(-4, 3))
"""Values of C, the inverse of the regularisation, that are tried."""
WITHOUT_FOLDS = 1.0
"""C where nothing can be held out, as scikit-learn has it."""
FOLDS = 5
ITERATIONS = 2000
"""At most; a fit that has not converged by then is taken as it is, and its C is in :attr:`LinearProbe.unconverged`."""


class Fit(NamedTuple):
    """A classifier that was fitted to rows, and whether the solver had come to its end."""

    classifier: Pipeline
    converged: bool


class Fold(NamedTuple):
    """Training rows that a classifier is fitted to, and those that it is judged by: int64 indices."""

    fitted: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class LinearProbe:
    """A fitted classifier.

    Attributes:
        classifier: standardises features, and classifies them.
        c: the inverse of the regularisation that was chosen.
        folds: that it was chosen by; 0 where nothing could be held out.
        right: share of the held-out training rows that were right, by C.
        unconverged: values of C with which a fit, of a fold or of all training rows, had not converged.
    """

    classifier: Pipeline
    c: float
    folds: int
    right: Mapping[float, float]
    unconverged: tuple[float, ...] = ()

    def probabilities(self, features: np.ndarray, num_classes: int) -> np.ndarray:
        """Return float32 ``[N, num_classes]`` of features ``[N, D]``; 0 for a class without training rows."""
        found = np.zeros((len(features), num_classes), np.float32)
        if len(features):
            found[:, self.classifier.classes_] = self.classifier.predict_proba(features)
        return found


def fit_linear_probe(features: np.ndarray, labels: np.ndarray, groups: Sequence[str]) -> LinearProbe:
    """Fit a classifier to training rows; of equally good values of C the smallest is taken.

    Args:
        features: float ``[N, D]``.
        labels: int64 ``[N]``, classes.
        groups: of each row; rows of one group are no independent witnesses.

    Raises:
        InputError: all rows are of one class.
    """
    if len(np.unique(labels)) < 2:
        raise InputError("all training videos that could be read are of one class; give videos of two classes or more")

    folds = make_folds(labels, groups)
    right = {}
    converged = {}
    if folds:
        for c in STRENGTHS:
            right[c], converged[c] = _share_right(c, features, labels, folds)

    best = max(right, key=lambda c: (right[c], -c), default=WITHOUT_FOLDS)
    fit = _fitted(best, features, labels)
    converged[best] = converged.get(best, True) and fit.converged
    unconverged = tuple(c for c, has_converged in converged.items() if not has_converged)
    return LinearProbe(fit.classifier, best, len(folds), right, unconverged)


def make_folds(labels: np.ndarray, groups: Sequence[str]) -> list[Fold]:
    """Return up to five folds, or none where none is possible, with whole groups on each side of each.

    Args:
        labels: int64 ``[N]``.
        groups: of each row.
    """
    counts = np.unique(labels, return_counts=True)[1]
    number = min(FOLDS, len(set(groups)), max(2, counts.min()))
    if number < 2 or counts.max() < 2:
        return []

    splitter = StratifiedGroupKFold(number, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        # A class of one row cannot be in two folds.
        warnings.simplefilter("ignore", UserWarning)
        folds = [Fold(*rows) for rows in splitter.split(labels[:, None], labels, np.asarray(groups))]

    # Where a class is one group's, it may be all that is left, or all that is held out.
    return [fold for fold in folds if len(fold.held_out) and len(np.unique(labels[fold.fitted])) > 1]


def _share_right(c: float, features: np.ndarray, labels: np.ndarray, folds: Sequence[Fold]) -> tuple[float, bool]:
    """Return which share of all held-out rows a regularisation gets right, and whether all its fits converged."""
    right = 0
    asked = 0
    converged = True
    for fold in folds:
        fit = _fitted(c, features[fold.fitted], labels[fold.fitted])
        answers = fit.classifier.predict(features[fold.held_out])
        right += int((answers == labels[fold.held_out]).sum())
        asked += len(answers)
        converged = converged and fit.converged
    return right / asked, converged


def _fitted(c: float, features: np.ndarray, labels: np.ndarray) -> Fit:
    """Return a classifier fitted to rows; mean and deviation of the features are those of the same rows."""
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=ITERATIONS))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        classifier.fit(features.astype(np.float64), labels)

    converged = True
    for warning in caught:
        if issubclass(warning.category, ConvergenceWarning):
            converged = False
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return Fit(classifier, converged)
