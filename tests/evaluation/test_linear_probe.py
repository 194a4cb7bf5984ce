"""The linear classifier on features, against scikit-learn called otherwise and folds that are looked through."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from video_rs.evaluation import linear_probe
from video_rs.evaluation.linear_probe import STRENGTHS, WITHOUT_FOLDS, fit_linear_probe, make_folds
from video_rs.runtime.errors import InputError


def clouds(groups, each=4, seed=0):
    """Features, labels and groups: two classes that differ in their first number, in so many groups of each."""
    generator = np.random.default_rng(seed)
    labels = np.tile(np.repeat([0, 1], each), groups)
    features = generator.normal(size=(len(labels), 3)) * (1, 100, 1e-3) + (0, 7, 0)
    features[:, 0] += 4 * labels
    names = [f"g{number}" for number in range(groups) for _ in range(2 * each)]
    return features.astype(np.float32), labels, names


def test_the_probabilities_are_those_of_a_logistic_regression_on_standardised_features():
    features, labels, groups = clouds(5)
    probe = fit_linear_probe(features, labels, groups)
    exact = features.astype(np.float64)
    scaled = (exact - exact.mean(0)) / exact.std(0)
    expected = LogisticRegression(C=probe.c, max_iter=5000).fit(scaled, labels).predict_proba(scaled)
    # The solver stops where its gradient is below 1e-4.
    assert probe.probabilities(features, 2) == pytest.approx(expected, abs=1e-3)
    assert probe.probabilities(features[:0], 2).shape == (0, 2)


def test_a_class_without_training_rows_has_no_probability():
    features, labels, groups = clouds(3)
    found = fit_linear_probe(features, 2 * labels + 1, groups).probabilities(features, 5)
    assert found.shape == (24, 5)
    assert np.all(found[:, [0, 2, 4]] == 0)
    assert found.sum(1) == pytest.approx(np.ones(24), abs=1e-6)


def test_of_equally_good_strengths_the_most_regularised_is_taken():
    features, labels, groups = clouds(5)
    features[:, 0] += 100 * labels
    probe = fit_linear_probe(features, labels, groups)
    assert set(probe.right) == set(STRENGTHS)
    assert max(probe.right.values()) == 1
    assert probe.c == min(c for c, share in probe.right.items() if share == 1)


def test_the_strength_is_judged_by_rows_that_are_held_out():
    """Labels without any sense: what is fitted knows its own rows, and others are right by chance."""
    generator = np.random.default_rng(3)
    features = generator.normal(size=(60, 200)).astype(np.float32)
    labels = generator.integers(0, 2, 60)
    probe = fit_linear_probe(features, labels, [str(number) for number in range(60)])
    weakest = LogisticRegression(C=STRENGTHS[-1], max_iter=5000).fit(features, labels)
    assert weakest.score(features, labels) == 1
    assert 0.25 < probe.right[STRENGTHS[-1]] < 0.75


def test_a_group_is_on_one_side_of_each_fold_and_every_row_is_held_out_once():
    _, labels, groups = clouds(7)
    folds = make_folds(labels, groups)
    assert len(folds) == 5
    for fold in folds:
        assert not {groups[row] for row in fold.fitted} & {groups[row] for row in fold.held_out}
    assert sorted(np.concatenate([fold.held_out for fold in folds])) == list(range(len(labels)))


@pytest.mark.parametrize(
    ("labels", "groups", "number"),
    [
        ([0, 0, 1, 1], "abab", 2),
        # A row of a class of its own cannot be in two folds.
        ([0, 0, 0, 1], "abcd", 2),
        ([0, 0, 1, 1], "aaaa", 0),
        ([0, 1], "ab", 0),
        # What is left of either group is of one class.
        ([0, 0, 1, 1], "aabb", 0),
    ],
)
def test_few_rows_have_few_folds_or_none(labels, groups, number):
    labels = np.array(labels)
    assert len(make_folds(labels, list(groups))) <= number
    features = np.arange(len(labels), dtype=np.float32)[:, None]
    probe = fit_linear_probe(features, labels, list(groups))
    assert probe.folds == len(make_folds(labels, list(groups)))
    if number == 0:
        assert (probe.folds, probe.c, probe.right) == (0, WITHOUT_FOLDS, {})


def test_one_class_is_refused():
    said = "all training videos that could be read are of one class; give videos of two classes or more"
    with pytest.raises(InputError, match=f"^{said}$"):
        fit_linear_probe(np.ones((3, 2)), np.zeros(3, np.int64), ["a", "b", "c"])


def test_fits_that_have_not_converged_are_told_apart(monkeypatch):
    """With few iterations the weakest regularisation is not done; nothing but the probe says so."""
    features, labels, groups = clouds(5)
    assert fit_linear_probe(features, labels, groups).unconverged == ()
    monkeypatch.setattr(linear_probe, "ITERATIONS", 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit_linear_probe(features, labels, groups)
    assert STRENGTHS[-1] in found.unconverged
    assert list(found.unconverged) == sorted(found.unconverged)
    # Without folds the only fit is that of all rows.
    assert fit_linear_probe(features, labels, ["a"] * len(labels)).unconverged == (WITHOUT_FOLDS,)
