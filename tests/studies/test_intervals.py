"""Intervals of differences: against SciPy's own, against samples of known spread, and what they are not given for."""

import math

import numpy as np
import pytest
from scipy import stats

from video_rs.studies import intervals
from video_rs.studies.intervals import Interval, bootstrap_interval, detectable_difference, mean_interval

RANDOM = np.random.default_rng(0)


def test_students_interval_is_scipys():
    values = RANDOM.normal(0.3, 1, 7)
    got = mean_interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert got == pytest.approx((values.mean(), expected.low, expected.high))


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (Interval(1, 0.1, 2), True),
        (Interval(-1, -2, -0.1), True),
        (Interval(1, -0.1, 2), False),
        (Interval(1, 1, 1), False),
    ],
)
def test_an_interval_excludes_zero(interval, expected):
    assert interval.excludes_zero == expected


def test_one_value_has_no_interval():
    assert mean_interval([0.5]) is None


def test_the_bootstrap_draws_seeds_and_groups():
    """Effects of seeds and of groups, no others: the variance of the mean is the sum of the two."""
    seeds, groups = RANDOM.normal(0, 1, (40, 1)), RANDOM.normal(0, 2, (1, 50))
    differences = np.repeat(seeds + groups, 3, axis=1)
    names = [f"speaker {number // 3}" for number in range(150)]
    got = bootstrap_interval(differences, names)
    assert got.mean == pytest.approx(differences.mean())
    deviation = math.sqrt(seeds.var() / 40 + groups.var() / 50)
    assert (got.high - got.low) / (2 * 1.96 * deviation) == pytest.approx(1, abs=0.05)
    # Three videos of a group are no three witnesses.
    alone = bootstrap_interval(differences, [str(number) for number in range(150)])
    assert alone.high - alone.low < 0.75 * (got.high - got.low)


def test_the_bootstrap_covers_the_true_mean():
    covered = 0
    for draw in range(60):
        random = np.random.default_rng(draw)
        differences = 0.5 + random.normal(0, 1, (12, 1)) + random.normal(0, 1, (1, 30))
        got = bootstrap_interval(differences, list(map(str, range(30))), seed=draw)
        covered += got.low <= 0.5 <= got.high
    # 57 of 60 are expected of 95 %.
    assert 53 <= covered <= 60


@pytest.mark.parametrize(("seeds", "fewest"), [(2, 80), (3, 86), (5, 88)])
def test_the_bootstrap_covers_the_true_mean_of_few_seeds(seeds, fewest, monkeypatch):
    """Where seeds differ most: percentiles of draws from two or three of them hold the truth in 58 and 75 of 100."""
    monkeypatch.setattr(intervals, "DRAWS", 500)
    covered = 0
    for draw in range(100):
        random = np.random.default_rng(draw)
        differences = (
            random.normal(0, 1, (seeds, 1)) + random.normal(0, 0.3, (1, 20)) + random.normal(0, 1, (seeds, 20))
        )
        got = bootstrap_interval(differences, list(map(str, range(20))), seed=draw)
        covered += got.low <= 0 <= got.high
    assert covered >= fewest


def test_the_bootstrap_is_widened_as_student_does():
    """One group of videos as another, all of the spread between seeds: Student's own interval, but for the draws."""
    seeds = np.array([[-1.0], [0.0], [1.0], [2.0], [0.5], [0.2], [-0.4], [0.9]])
    got = bootstrap_interval(np.repeat(seeds, 4, axis=1), list("abcd"))
    student = mean_interval(seeds[:, 0].tolist())
    # Draws of eight values are not quite normal.
    assert (got.high - got.low) / (student.high - student.low) == pytest.approx(1, abs=0.06)


def test_differences_without_any_spread_have_an_interval_without_width():
    assert not bootstrap_interval(np.full((3, 4), 0.2), list("abcd")).excludes_zero
    assert detectable_difference([[0.7 - 0.6, 0.8 - 0.7], [0.3, 0.3]]) == 0


def test_videos_that_could_not_be_read_are_left_out():
    differences = RANDOM.normal(0, 1, (3, 8))
    with_gap = np.concatenate([differences, np.full((3, 2), math.nan)], axis=1)
    names = [*"aabbccdd", "e", "e"]
    got = bootstrap_interval(with_gap, names)
    assert got.mean == pytest.approx(differences.mean())
    assert math.isfinite(got.low)
    assert math.isfinite(got.high)


@pytest.mark.parametrize("shape", [(1, 4), (3, 4)])
def test_one_seed_or_one_group_has_no_bootstrap(shape):
    names = list("abcd") if shape[0] == 1 else list("aaaa")
    assert bootstrap_interval(np.zeros(shape), names) is None


def test_the_detectable_difference_is_found_in_four_of_five_studies():
    deviation, seeds = 2.0, 8
    random = np.random.default_rng(1)
    effect = detectable_difference([random.normal(0, deviation, seeds) for _ in range(3000)])
    found = [stats.ttest_1samp(random.normal(effect, deviation, seeds), 0).pvalue < 0.05 for _ in range(3000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.03)


def test_the_detectable_difference_is_that_of_the_fewest_seeds():
    values = [[0.0, 1.0], [0.0, 1.0, 0.0, 1.0]]
    freedom = 1 + 3
    variance = (0.5 + 1.0) / freedom
    factor = stats.t.ppf(0.975, 1) + stats.t.ppf(0.8, 1)
    assert detectable_difference(values) == pytest.approx(factor * math.sqrt(variance / 2))
    assert detectable_difference([[0.3], []]) is None
