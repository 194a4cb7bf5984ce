"""Two networks compared, intervals, and the worth of views."""

import numpy as np
import pytest
from scipy import stats

from video_rs.evaluation.comparison import compare
from video_rs.evaluation.intervals import bootstrap, weighted_mean, wilson
from video_rs.evaluation.views import accuracy_by_views


def test_mcnemar_is_of_the_videos_that_changed():
    first = np.array([1, 1, 1, 0, 0, 0, 0, 0, 0, 1])
    second = np.array([1, 0, 1, 1, 1, 1, 1, 1, 0, 1])
    losses = (np.linspace(1, 2, 10), np.linspace(0.5, 1.5, 10))
    found = compare((first, second), losses, list("abcdefghij"))
    assert found.gained.tolist() == [3, 4, 5, 6, 7]
    assert found.lost.tolist() == [1]
    # Of six fair coins, one or none on one side, or on the other.
    assert found.p_value == pytest.approx(2 * (1 + 6) / 64)
    assert found.accuracy.mean == pytest.approx(0.4)
    # Every video differs by as much: drawing others changes nothing.
    assert found.cross_entropy == pytest.approx((-0.5, -0.5, -0.5))


def test_networks_that_agree_have_no_difference():
    same = np.array([1, 0, 1])
    found = compare((same, same), (same * 1.0, same * 1.0), ["a", "b", "b"])
    assert found.p_value == 1.0
    assert found.accuracy == (0, 0, 0)


def test_the_interval_of_a_mean_is_that_of_its_standard_error():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = bootstrap(weighted_mean(values), [str(number) for number in range(400)])
    half = stats.norm.ppf(0.975) * values.std() / np.sqrt(400)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.05)


def test_videos_of_a_group_are_drawn_together():
    """Ten groups of forty equal videos are ten witnesses: the interval is that of ten values."""
    groups = np.repeat(np.arange(10), 40).astype(str)
    values = np.repeat(np.linspace(0, 1, 10), 40)
    grouped = bootstrap(weighted_mean(values), groups)
    alone = bootstrap(weighted_mean(np.linspace(0, 1, 10)), [str(number) for number in range(10)])
    assert grouped == pytest.approx(alone)
    assert bootstrap(weighted_mean(values), ["one"] * 400) is None


def test_accuracy_by_views():
    """Views are right with probability 0.7, independently: the mean over more of them is right more often."""
    generator = np.random.default_rng(3)
    right = generator.random((4000, 5)) < 0.7
    views = np.stack([right, ~right], axis=2).astype(np.float32)
    truth = np.repeat([[True, False]], 4000, axis=0)
    found = accuracy_by_views(list(views), truth)
    assert list(found) == [1, 2, 4, 5]
    assert found[1] == pytest.approx(0.7, abs=0.01)
    # A majority of five; a tie cannot be.
    assert found[5] == pytest.approx(right.sum(1).__gt__(2).mean())


@pytest.mark.parametrize(("hits", "trials"), [(0, 4), (4, 6), (5, 6), (97, 97)])
def test_the_interval_of_a_share_is_wilsons(hits, trials):
    """The two roots of (p - share)^2 = z^2 p (1 - p) / n (Wilson 1927)."""
    z = 1.959963984540054
    share = hits / trials
    roots = np.roots([1 + z**2 / trials, -2 * share - z**2 / trials, share**2])
    assert wilson(hits, trials) == pytest.approx((share, max(0, min(roots.real)), min(1, max(roots.real))), abs=1e-7)
