"""The rule by which adaptive views stop, on videos whose views are drawn from known distributions."""

import numpy as np
import pytest

from video_rs.evaluation.stopping import Looks, fit_stop, on_other_groups, upper_bound

COUNTS = np.array([1, 4, 12])


def drawn(videos=4000, seed=0):
    """Videos whose decidedness is the chance, in percent, that their answer is that of all views."""
    draw = np.random.default_rng(seed)
    chance = draw.uniform(50, 100, (videos, 2))
    chance.sort(1)
    same = draw.uniform(0, 100, (videos, 2)) < chance
    all_of_them = np.full((videos, 1), np.inf)
    return Looks(COUNTS, np.hstack([chance, all_of_them]), np.hstack([same, all_of_them > 0]))


def test_a_rule_says_when_each_video_stops():
    decided = np.array([[5.0, 1.0, np.inf], [1.0, 7.0, np.inf], [1.0, 2.0, np.inf]])
    same = np.array([[False, True, True], [True, True, True], [True, False, True]])
    found, views = Looks(COUNTS, decided, same).stopped(5.0)
    assert found.tolist() == [False, True, True]
    assert views.tolist() == [1, 4, 12]


def test_the_bound_is_that_of_clopper_and_pearson():
    # Without an error in n videos the share is below 1 - 0.05^(1/n).
    assert upper_bound(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300))
    # scipy.stats.binomtest(5, 100).proportion_ci(0.9, "exact").high
    assert upper_bound(5, 100) == pytest.approx(0.10225, abs=1e-5)
    assert upper_bound(7, 7) == 1.0


@pytest.mark.parametrize("error", [0.02, 0.1])
def test_the_share_of_other_answers_is_held_on_other_videos(error):
    looks = drawn()
    stop_at = fit_stop(looks, error)
    same, views = looks.stopped(stop_at)
    assert upper_bound(int((~same).sum()), len(same)) <= error
    others, fewer = drawn(40000, seed=1).stopped(stop_at)
    assert 1 - others.mean() < 1.1 * error
    assert views.mean() == pytest.approx(fewer.mean(), rel=0.03)
    # Not more than it takes.
    lower, _ = looks.stopped(stop_at - 0.5)
    assert upper_bound(int((~lower).sum()), len(lower)) > 0.9 * error


def test_a_higher_share_takes_fewer_views():
    views = [drawn().stopped(fit_stop(drawn(), error))[1].mean() for error in (0.01, 0.05, 0.2)]
    assert views[0] > views[1] > views[2]


def test_one_lucky_value_is_not_picked_out():
    """The only wrong answer is surer than many right ones: a rule below it would have to allow it, too."""
    decided = np.array([[float(value), np.inf] for value in range(100)])
    same = np.ones((100, 2), bool)
    same[90, 0] = False
    assert fit_stop(Looks(np.array([1, 2]), decided, same), 0.04) > 90


def test_of_too_few_videos_nothing_is_known():
    looks = drawn(20)
    assert upper_bound(0, 20) > 0.1
    assert fit_stop(looks, 0.1) is None
    # All views are taken then.
    assert on_other_groups(looks, ["one", "other"] * 10, 0.1) == {"same": 1.0, "views": 12.0}


def test_a_rule_that_spares_no_view_is_none():
    decided = np.array([[float(value), np.inf] for value in range(300)])
    same = np.ones((300, 2), bool)
    same[299, 0] = False
    assert fit_stop(Looks(np.array([1, 2]), decided, same), 0.01) is None


def test_other_groups_are_judged_by_rules_set_without_them():
    looks = drawn(2000)
    groups = [f"group {number % 10}" for number in range(2000)]
    found = on_other_groups(looks, groups, 0.05)
    assert 0.94 < found["same"] < 0.97
    assert found["views"] == pytest.approx(looks.stopped(fit_stop(looks, 0.05))[1].mean(), rel=0.1)
    assert on_other_groups(looks, ["one"] * 2000, 0.05) is None
