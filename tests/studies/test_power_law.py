"""Laws recovered from points that were made with known exponents and breaks."""

import itertools

import numpy as np
import pytest

from video_rs.runtime.errors import InputError
from video_rs.studies import power_law
from video_rs.studies.power_law import fit_power_law, require_error

COMPUTES = np.geomspace(1, 100, 16)
EXPONENT = -0.3
BEFORE, AFTER, BREAK = -0.5, -0.1, 8.0


def made(computes, before, after=None, noise=0.0, seed=0):
    """Errors of a law, 0.2 at the break (or at 8 GMAC), with normal noise of their logarithm."""
    away = np.log(computes / BREAK)
    line = np.where(away < 0, before * away, (before if after is None else after) * away)
    return 0.2 * np.exp(line + np.random.default_rng(seed).normal(0, noise, len(computes)))


def test_an_exact_law_is_found_exactly():
    law = fit_power_law(COMPUTES, made(COMPUTES, EXPONENT))
    assert law.break_at is None
    # A line through points on it: rounding is what is left.
    assert law.exponents[0] == pytest.approx((EXPONENT,) * 3, abs=1e-9)
    assert law.value(BREAK) == pytest.approx(0.2, rel=1e-9)
    assert law.value(1.0) == pytest.approx(0.2 * BREAK**-EXPONENT, rel=1e-9)
    assert (law.runs, law.computes) == (16, 16)


def test_an_exact_break_is_found():
    law = fit_power_law(COMPUTES, made(COMPUTES, BEFORE, AFTER))
    below, above = law.exponents
    # The place is sought numerically, to about the square root of float64's precision.
    assert law.break_at.mean == pytest.approx(BREAK, rel=1e-3)
    assert (below.mean, above.mean) == pytest.approx((BEFORE, AFTER), abs=1e-3)
    assert law.value(BREAK) == pytest.approx(0.2, rel=1e-3)
    assert law.value(1.0) == pytest.approx(0.2 * BREAK**-BEFORE, rel=1e-3)
    assert law.value(64.0) == pytest.approx(0.2 * 8**AFTER, rel=1e-3)


def brute_force(x, y):
    """The least squared residual of two lines that meet: by each split of the runs, the meeting point between."""
    best = np.inf
    for place in np.linspace(np.unique(x)[1], np.unique(x)[-2], 20001):
        design = np.stack([np.ones_like(x), np.minimum(x - place, 0), np.maximum(x - place, 0)], axis=1)
        found = np.linalg.solve(design.T @ design, design.T @ y)
        best = min(best, float(((y - design @ found) ** 2).sum()))
    return best


def test_the_break_is_the_best_of_all():
    x = np.log(COMPUTES)
    y = np.log(made(COMPUTES, BEFORE, AFTER, noise=0.1, seed=3))
    _, _, residual = power_law._broken_line(x, y)
    # The brute force tries places 0.02 % apart; near the optimum the residual changes with the square of that.
    assert residual == pytest.approx(brute_force(x, y), rel=1e-6)


def test_intervals_cover_the_exponent():
    """Of 100 made studies, about 95 intervals hold the truth; 88 or fewer would be one in 400."""
    laws = [fit_power_law(COMPUTES, made(COMPUTES, EXPONENT, noise=0.05, seed=seed), seed) for seed in range(100)]
    held = [law.exponents[0].low <= EXPONENT <= law.exponents[0].high for law in laws]
    assert sum(held) >= 89
    # A break where there is none is seen seldom.
    assert sum(law.break_at is not None for law in laws) <= 12
    widths = [law.exponents[0].high - law.exponents[0].low for law in laws if law.break_at is None]
    assert max(widths) < 0.2


def test_intervals_cover_the_break_and_both_exponents():
    computes = np.repeat(np.geomspace(1, 100, 12), 2)
    laws = [fit_power_law(computes, made(computes, BEFORE, AFTER, 0.05, seed), seed) for seed in range(30)]
    assert all(law.break_at is not None for law in laws)
    held = {"before": 0, "after": 0, "break": 0}
    for law in laws:
        held["before"] += law.exponents[0].low <= BEFORE <= law.exponents[0].high
        held["after"] += law.exponents[1].low <= AFTER <= law.exponents[1].high
        held["break"] += law.break_at.low <= BREAK <= law.break_at.high
    # 25 or fewer of 30 at a true 95 % would be one in 300.
    assert min(held.values()) >= 26


def test_intervals_depend_on_their_seed_alone():
    values = made(COMPUTES, EXPONENT, noise=0.05)
    state = np.random.get_state()[1].copy()
    assert fit_power_law(COMPUTES, values, 1) == fit_power_law(COMPUTES, values, 1)
    assert fit_power_law(COMPUTES, values, 1).exponents[0] != fit_power_law(COMPUTES, values, 2).exponents[0]
    assert (np.random.get_state()[1] == state).all()


def test_the_order_of_runs_does_not_matter_for_the_fit():
    values = made(COMPUTES, BEFORE, AFTER, noise=0.05)
    order = np.random.default_rng(0).permutation(len(COMPUTES))
    one = fit_power_law(COMPUTES, values)
    other = fit_power_law(COMPUTES[order], values[order])
    assert other.break_at.mean == pytest.approx(one.break_at.mean, rel=1e-6)


def test_few_runs_have_wide_intervals_and_no_break():
    few = COMPUTES[[0, 5, 10, 15]]
    law = fit_power_law(few, made(few, BEFORE, AFTER, noise=0.02))
    assert (law.break_at, law.gain) == (None, None)
    many = fit_power_law(COMPUTES, made(COMPUTES, BEFORE, noise=0.02))
    width, other = (each.exponents[0].high - each.exponents[0].low for each in (law, many))
    assert width > 2 * other


def test_a_draw_has_a_break_only_with_two_computes_on_each_side():
    x = np.log([1.0, 2.0, 4.0, 8.0, 16.0])
    breaks = np.log([2.0, 3.0, 8.0])
    draws = {
        (1, 1, 1, 1, 1): [True, True, True],
        (0, 2, 1, 1, 1): [False, False, True],
        (3, 1, 0, 1, 0): [False, False, False],  # three points in all
        (2, 0, 1, 1, 1): [False, False, True],
    }
    for weights, expected in draws.items():
        found = power_law._sides(x, np.array([weights], dtype=float), breaks)
        by_hand = []
        for place in breaks:
            drawn = {value for value, weight in zip(x, weights, strict=True) if weight}
            sides = [sum(value <= place for value in drawn), sum(value >= place for value in drawn)]
            by_hand.append(min(sides) >= 2 and len(drawn) >= 4)
        assert found[0].tolist() == by_hand == expected, weights


def test_fewer_than_four_computes_are_no_law():
    computes = list(itertools.chain.from_iterable([[1.0] * 4, [2.0] * 4, [3.0] * 4]))
    with pytest.raises(InputError, match=r"^no fit: 3 different computes, and a power law wants 4 at least$"):
        fit_power_law(computes, [0.5] * 12)


def test_a_value_of_zero_is_no_law():
    with pytest.raises(InputError, match="no fit: a run has the value 0, which has no logarithm; take a harder task"):
        fit_power_law([1.0, 2.0, 3.0, 4.0], [0.5, 0.4, 0.3, 0.0])


@pytest.mark.parametrize(("best", "text"), [(0.0, "0.00 %"), (0.0099, "0.99 %")])
def test_no_error_left_is_refused_in_a_line(best, text):
    with pytest.raises(InputError) as caught:
        require_error(best)
    assert f"the best run errs by {text}" in str(caught.value)
    assert "--measure cross_entropy, or take a harder task" in str(caught.value)
    assert "\n" not in str(caught.value)
    # One per cent is enough.
    require_error(0.01)
