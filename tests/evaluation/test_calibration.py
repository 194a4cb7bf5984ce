"""Calibration against counting by hand, and against probabilities whose temperature is known."""

import numpy as np
import pytest
import torch
from scipy import special, stats

from video_rs.engine.probabilities import ClassProbabilities
from video_rs.evaluation import calibration
from video_rs.evaluation.calibrating import Fit, ScoredVideos, calibrate
from video_rs.inference.prediction import Answers
from video_rs.runtime.errors import InputError


def test_bins_hold_their_upper_end_and_leave_out_empty_ones():
    confidence = np.array([0.5, 0.51, 0.6, 1.0, 0.0])
    right = np.array([1, 0, 1, 1, 0])
    bins = calibration.reliability(confidence, right, bins=2)
    assert bins == [
        (0.0, 0.5, 2, 0.25, 0.5),
        (0.5, 1.0, 3, pytest.approx((0.51 + 0.6 + 1) / 3), pytest.approx(2 / 3)),
    ]
    # |0.25 - 0.5| of two videos, |0.7033 - 0.6667| of three.
    expected = (2 * 0.25 + abs(2.11 - 2)) / 5
    assert calibration.calibration_error(confidence, right, bins=2) == pytest.approx(expected)


def test_weights_count_videos_again():
    confidence = np.array([0.2, 0.7, 0.9])
    right = np.array([0, 1, 1])
    again = [1, 1, 1, 2]
    assert calibration.calibration_error(confidence, right, np.array([0.0, 3, 1])) == pytest.approx(
        calibration.calibration_error(confidence[again], right[again])
    )
    assert np.isnan(calibration.calibration_error(confidence, right, np.zeros(3)))


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_temperature_on_probabilities_is_one_on_their_logits(multi_label):
    logits = np.random.default_rng(0).normal(0, 4, (6, 5))
    make = special.expit if multi_label else lambda values: special.softmax(values, axis=-1)
    for temperature in (0.4, 1.0, 3.0):
        found = calibration.with_temperature(make(logits), temperature, multi_label)
        assert found == pytest.approx(make(logits / temperature), abs=1e-9)


def test_the_mean_over_views_is_that_of_each_video():
    generator = np.random.default_rng(1)
    views = [generator.dirichlet(np.ones(3), count).astype(np.float32) for count in (1, 4, 2)]
    means = calibration.mean_over_views(views, 2.0, False)
    for mean, part in zip(means, views, strict=True):
        # Half the logits: the square roots of the probabilities.
        roots = np.sqrt(part.astype(np.float64))
        assert mean == pytest.approx((roots / roots.sum(1, keepdims=True)).mean(0), rel=1e-6)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_temperature_that_logits_were_divided_by_is_found(multi_label):
    """Labels are drawn from true probabilities, and the network has 2.5 times their logits."""
    generator = np.random.default_rng(2)
    logits = generator.normal(0, 1.5, (20000, 4))
    if multi_label:
        truth = generator.random(logits.shape) < special.expit(logits)
        said = special.expit(2.5 * logits)
    else:
        drawn = (special.softmax(logits, axis=1).cumsum(1) > generator.random((20000, 1))).argmax(1)
        truth = np.eye(4, dtype=bool)[drawn]
        said = special.softmax(2.5 * logits, axis=1)
    found = calibration.fit_temperature([row[None].astype(np.float32) for row in said], truth, multi_label)
    assert found == pytest.approx(2.5, rel=0.03)


def test_the_threshold_is_the_lowest_whose_bound_holds_the_precision():
    # The 100 surest are right, of the next 20 half, the rest is wrong.
    confidence = np.linspace(1, 0, 200, endpoint=False)
    right = np.arange(200) < 100
    right[101:120:2] = True
    found = calibration.precision_threshold(confidence, right, 0.9)
    bounds = [calibration.lower_bound(int(right[:n].sum()), n) for n in range(1, 201)]
    last = max(n for n in range(1, 201) if bounds[n - 1] >= 0.9)
    just_below = pytest.approx(confidence[last - 1] - 5e-7, abs=1e-12)
    assert found == (just_below, right[:last].mean(), bounds[last - 1], last / 200, last)
    assert 100 < last < 120
    assert calibration.precision_threshold(confidence[:20], right[:20], 0.9) is None
    # 29 of 29 hold 0.9 (0.05 ** (1 / 29) is above it), 28 of 28 do not.
    assert calibration.precision_threshold(np.ones(29), np.ones(29, bool), 0.9).answers == 29
    assert calibration.precision_threshold(np.ones(28), np.ones(28, bool), 0.9) is None


def test_a_refusal_tells_of_a_threshold_that_there_is():
    """The first 40 of 50 videos of one confidence are right: no threshold has those 40 alone."""
    views = [np.array([[0.9, 0.1]], np.float32)] * 50
    true = np.arange(50) >= 40
    videos = ScoredVideos(views, np.eye(2, dtype=bool)[true.astype(int)], np.ones(50, bool), np.arange(50), False)
    with pytest.raises(InputError) as caught:
        calibrate(videos, 0.8)
    bound = calibration.lower_bound(40, 50)
    assert str(caught.value) == (
        f"--precision 0.8: no threshold holds it on 50 videos; the best that is held is {bound:.3f}, by 40 right of "
        "the 50 surest; give more videos, or a lower precision"
    )


@pytest.mark.parametrize("multi_label", [False, True])
def test_prediction_answers_as_many_videos_as_the_threshold_was_chosen_for(multi_label):
    """Prediction sums float32 probabilities of the logits, the fit float64 ones of what they were at temperature 1."""
    counts = []
    for seed in range(8):
        generator = np.random.default_rng(seed)
        true = generator.integers(0, 5, 200)
        logits = generator.normal(0, 1, (200, 1, 5)) + generator.normal(0, 0.2, (200, 3, 5))
        logits[np.arange(200), :, true] += 2
        logits = torch.tensor(logits, dtype=torch.float32)
        views = [ClassProbabilities(multi_label)(part).numpy() for part in logits]
        every = np.ones(200, bool)
        fit = Fit.on(ScoredVideos(views, np.eye(5, dtype=bool)[true], every, np.arange(200), multi_label), 0.8)

        make = ClassProbabilities(multi_label, fit.temperature)
        answers = Answers(("a",) * 5, multi_label, fit.threshold.confidence)
        scores = [float((make(part).sum(0) / 3).max()) for part in logits]
        counts.append((sum(not answers.is_unsure(score) for score in scores), fit.threshold.answers))
    assert [said for said, _ in counts] == [chosen for _, chosen in counts]
    assert len({chosen for _, chosen in counts}) > 4


def test_the_bound_is_that_of_clopper_and_pearson():
    for right, answers in ((1, 5), (47, 50), (50, 50)):
        exact = stats.binomtest(right, answers, alternative="greater").proportion_ci(0.95, "exact").low
        assert calibration.lower_bound(right, answers) == pytest.approx(exact)
    assert calibration.lower_bound(0, 9) == 0.0
