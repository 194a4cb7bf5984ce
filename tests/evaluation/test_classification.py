"""Scores of classes against counting by hand."""

import numpy as np
import pytest
from sklearn import metrics

from video_rs.evaluation import classification

# Five videos of three classes; the last class has no video.
PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.5, 0.4, 0.1], [0.1, 0.3, 0.6]], np.float32
)
TRUTH = np.eye(3, dtype=bool)[[0, 0, 1, 1, 1]]
ALL = np.ones(5)


def test_scores_of_classes():
    first, second = classification.class_scores(PROBABILITIES, TRUTH, multi_label=False)
    # Class 0 is said of videos 0, 1 and 3, and true of 0 and 1; its scores rank 0, 1, 3, 2, 4.
    assert first == (0, pytest.approx(2 / 3), 1.0, pytest.approx(0.8), 1.0, 2, 3)
    # Class 1 is said of video 2 alone; its scores rank 2, 3, then 1 and 4 together, then 0.
    assert second == (1, 1.0, pytest.approx(1 / 3), 0.5, pytest.approx((1 + 1 + 3 / 4) / 3), 3, 1)


def test_several_classes_are_said_from_one_half_on():
    several = np.array([[0.5, 0.9], [0.49, 0.6]], np.float32)
    assert classification.predicted_classes(several, multi_label=True).tolist() == [[True, True], [False, True]]
    truth = np.array([[True, False], [True, True]])
    first, second = classification.class_scores(several, truth, multi_label=True)
    assert first[:5] == (0, 1.0, 0.5, pytest.approx(2 / 3), 1.0)
    assert second[:5] == (1, 0.5, 1.0, pytest.approx(2 / 3), 0.5)


def test_a_network_of_one_class():
    """Said of videos 0 and 2, true of 0 and 1; the scores rank 0, 2, 1."""
    alone = np.array([[0.9], [0.2], [0.7], [0.1]])
    truth = np.array([[True], [True], [False], [False]])
    (score,) = classification.class_scores(alone, truth, multi_label=True)
    assert score == (0, 0.5, 0.5, 0.5, pytest.approx((1 + 2 / 3) / 2), 2, 2)
    (score,) = classification.class_scores(alone[:2], truth[:2], multi_label=False)
    assert score == (0, 1.0, 1.0, 1.0, 1.0, 2, 2)


def test_means_over_the_classes_that_have_videos():
    predicted = classification.predicted_classes(PROBABILITIES, multi_label=False)
    assert classification.macro_f1(predicted, TRUTH)(ALL) == pytest.approx((0.8 + 0.5) / 2)
    expected = (1 + (1 + 1 + 3 / 4) / 3) / 2
    assert classification.mean_average_precision(PROBABILITIES, TRUTH, ALL) == pytest.approx(expected)


def test_a_video_of_weight_two_counts_as_two_videos():
    weights = np.array([0.0, 2, 1, 0, 3])
    rows = np.repeat(np.arange(5), weights.astype(int))
    twice = (PROBABILITIES[rows], TRUTH[rows])
    score = classification.mean_average_precision
    assert score(PROBABILITIES, TRUTH, weights) == pytest.approx(score(*twice, np.ones(len(rows))))
    assert np.isnan(score(PROBABILITIES, TRUTH, np.zeros(5)))


def test_the_mean_f1_of_weighted_videos_is_scikit_learns():
    generator = np.random.default_rng(4)
    true = generator.integers(0, 6, 80)
    said = np.where(generator.random(80) < 0.5, true, generator.integers(0, 7, 80))
    weights = generator.integers(0, 4, 80).astype(float)
    classes = np.unique(true[weights > 0])
    expected = metrics.f1_score(true, said, labels=classes, average="macro", sample_weight=weights, zero_division=0)
    eye = np.eye(7, dtype=bool)
    statistic = classification.macro_f1(eye[said], eye[true])
    assert statistic(weights) == pytest.approx(expected)
    assert np.isnan(statistic(np.zeros(80)))


def test_hits_and_losses_of_each_video():
    assert classification.hits(PROBABILITIES, TRUTH, 1).tolist() == [1, 1, 1, 0, 0]
    assert classification.hits(PROBABILITIES, TRUTH, 2).tolist() == [1, 1, 1, 1, 1]
    # Two classes without a vote: the true one is no second best.
    votes = np.array([[1.0, 0.0, 0.0]])
    assert classification.hits(votes, np.array([[False, True, False]]), 2).tolist() == [0]
    losses = classification.log_losses(PROBABILITIES, TRUTH, multi_label=False)
    assert losses == pytest.approx(-np.log([0.7, 0.6, 0.5, 0.4, 0.3]))
    impossible = classification.log_losses(np.array([[1.0, 0.0]]), np.array([[False, True]]), False)
    assert impossible == pytest.approx([-np.log(1e-12)])
    several = classification.log_losses(np.array([[0.9, 0.2]]), np.array([[True, False]]), multi_label=True)
    assert several == pytest.approx([-(np.log(0.9) + np.log(0.8)) / 2])


def test_confusion_has_a_row_for_every_class():
    assert classification.confusion(PROBABILITIES, TRUTH).tolist() == [[2, 0, 0], [1, 1, 1], [0, 0, 0]]
