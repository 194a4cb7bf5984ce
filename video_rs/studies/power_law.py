"""Error against compute as a power law, and as one with a break (Bello et al. 2021, arXiv 2103.07579, figure 2).

A power law is a straight line in logarithms, ``log E = a + b log C``. A broken one is two straight lines that meet.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize
from video_rs.studies.intervals import LEVEL, Interval

FEWEST_COMPUTES = 4
# Of the straight line: level and slope. A broken one has another slope and the break.
PARAMETERS = {1: 2, 2: 4}
# Fewer leave the corrected criterion without a value for the broken law.
FEWEST_RUNS_OF_BREAK = PARAMETERS[2] + 3
DRAWS = 2000
BREAKS = 80  # places that are tried
SMALLEST_ERROR = 0.01
_EXACT = 1e-24  # squared residuals of a fit that misses nothing


@dataclass(frozen=True)
class PowerLaw:
    """A fitted law.

    Attributes:
        runs: it was fitted to.
        computes: different ones among them.
        level: logarithm of the value at :attr:`pivot`.
        pivot: logarithm of a compute: of the break, or of the middle of the runs.
        exponents: one; two of a broken law, below the break and above.
        break_at: compute, with its interval; None of an unbroken law.
        gain: by how much the criterion (Akaike's, corrected for small samples) prefers the broken law; None where the
            runs are too few to judge it.
    """

    runs: int
    computes: int
    level: float
    pivot: float
    exponents: tuple[Interval, ...]
    break_at: Interval | None
    gain: float | None

    def value(self, compute: float) -> float:
        """Return what the law says at a compute."""
        away = math.log(compute) - self.pivot
        exponent = self.exponents[0] if away < 0 else self.exponents[-1]
        return math.exp(self.level + exponent.mean * away)


def require_error(best: float) -> None:
    """Check that there is error left to fit.

    Args:
        best: error of the best run, in [0, 1].

    Raises:
        InputError: it is below 1 %.
    """
    if best < SMALLEST_ERROR:
        raise InputError(
            f"no power law is fitted: the best run errs by {100 * best:.2f} %, and below {100 * SMALLEST_ERROR:g} % "
            "there is no error left to fit; give --measure cross_entropy, or take a harder task (fewer training "
            "videos, more or more similar classes, smaller clips)"
        )


def fit_power_law(computes: Sequence[float], values: Sequence[float], seed: int = 0) -> PowerLaw:
    """Fit both laws, and return the one that the criterion prefers, with its intervals of 95 %.

    The criterion is AICc (Hurvich and Tsai 1989). The intervals are percentiles of fits to runs that were drawn again,
    with replacement, 2,000 times. They are widened for few runs (Hesterberg 2015, arXiv 1411.5279, "expanded
    percentile interval").

    Args:
        computes: of each run, above 0, such as GMAC.
        values: of each run, above 0: error or cross-entropy.
        seed: of the draws.

    Raises:
        InputError: fewer than 4 different computes, or a value that has no logarithm.
    """
    distinct = len(np.unique(computes))
    if distinct < FEWEST_COMPUTES:
        counted = pluralize(distinct, "compute", "different computes")
        raise InputError(f"no fit: {counted}, and a power law wants {FEWEST_COMPUTES} at least")
    if min(values) <= 0:
        raise InputError("no fit: a run has the value 0, which has no logarithm; take a harder task")

    x = np.log(np.asarray(computes, dtype=np.float64))
    y = np.log(np.asarray(values, dtype=np.float64))
    weights = np.random.default_rng(seed).multinomial(len(x), np.full(len(x), 1 / len(x)), DRAWS).astype(float)

    line = stats.linregress(x, y)
    line_residual = float(((y - line.intercept - line.slope * x) ** 2).sum())
    gain = None
    if len(x) >= FEWEST_RUNS_OF_BREAK:
        place, (level, before, after), residual = _broken_line(x, y)
        gain = _criterion(line_residual, len(x), 2) - _criterion(residual, len(x), 4)
        if gain > 0:
            drawn = _drawn_breaks(x, y, weights)
            below, above, breaks = (
                _interval(*pair, len(x), 4) for pair in zip((before, after, place), drawn, strict=True)
            )
            at = Interval(*(math.exp(part) for part in breaks))
            return PowerLaw(len(x), distinct, level, place, (below, above), at, gain)

    exponent = _interval(float(line.slope), _drawn_slopes(x, y, weights), len(x), 2)
    middle = float(x.mean())
    level = float(line.intercept + line.slope * middle)
    return PowerLaw(len(x), distinct, level, middle, (exponent,), None, gain)


def _criterion(residual: float, runs: int, parameters: int) -> float:
    """Return AICc of a fit by least squares; the variance of the residuals is a parameter, too."""
    count = parameters + 1
    correction = 2 * count * (count + 1) / (runs - count - 1)
    return runs * math.log(max(residual, _EXACT) / runs) + 2 * count + correction


def _interval(value: float, drawn: np.ndarray, runs: int, parameters: int) -> Interval:
    """Return a value with the percentiles of its draws, which lie further out where runs are few."""
    freedom = runs - parameters
    reach = stats.t.ppf((1 + LEVEL) / 2, freedom) * math.sqrt(runs / freedom)
    tail = float(stats.norm.cdf(-reach))
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Interval(value, float(low), float(high))


def _drawn_slopes(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the slope of each draw; draws of one compute have none."""
    total = weights.sum(axis=1)
    mean_x = weights @ x / total
    mean_y = weights @ y / total
    spread = weights @ x**2 / total - mean_x**2
    covariance = weights @ (x * y) / total - mean_x * mean_y
    usable = spread > 1e-9 * x.var()
    return covariance[usable] / spread[usable]


def _broken_line(x: np.ndarray, y: np.ndarray) -> tuple[float, tuple[float, float, float], float]:
    """Return the best break, then level there and both slopes, then the squared residuals."""
    breaks = _places(x)
    _, residuals = _fits(x, y, np.ones((1, len(x))), breaks)
    best = int(np.argmin(residuals[0]))
    # The places are apart by some per cent; the best break is beside the best of them.
    near = (breaks[max(best - 1, 0)], breaks[min(best + 1, len(breaks) - 1)])
    found = optimize.minimize_scalar(lambda place: _at_break(x, y, place)[1], bounds=near, method="bounded")
    place = float(found.x)
    if residuals[0, best] < found.fun:
        place = float(breaks[best])
    (level, before, after), residual = _at_break(x, y, place)
    return place, (float(level), float(before), float(after)), float(residual)


def _places(x: np.ndarray) -> np.ndarray:
    """Return where a break may be: two different computes lie on each side, itself included."""
    distinct = np.unique(x)
    return np.linspace(distinct[1], distinct[-2], BREAKS)


def _design(x: np.ndarray, place: float) -> np.ndarray:
    """Return what level and both slopes are multiplied with, ``[n, 3]``."""
    away = x - place
    return np.stack([np.ones_like(away), np.minimum(away, 0), np.maximum(away, 0)], axis=1)


def _at_break(x: np.ndarray, y: np.ndarray, place: float) -> tuple[np.ndarray, float]:
    """Return level and slopes of the best lines that meet at a place, and the squared residuals."""
    design = _design(x, place)
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    return found, float(((y - design @ found) ** 2).sum())


def _drawn_breaks(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return slopes below and above, and the break, of each draw that has two computes on each side of a break."""
    breaks = _places(x)
    found, residuals = _fits(x, y, weights, breaks)
    usable = np.isfinite(residuals).any(axis=1)
    best = residuals[usable].argmin(axis=1)
    chosen = found[usable, best]  # [draws, 3]
    return chosen[:, 1], chosen[:, 2], breaks[best]


def _fits(x: np.ndarray, y: np.ndarray, weights: np.ndarray, breaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit lines that meet, for each draw and each break, by the normal equations.

    Args:
        x, y: of the runs, float64 ``[n]``.
        weights: how often each run was drawn, ``[D, n]``.
        breaks: ``[G]``.

    Returns:
        Level and slopes ``[D, G, 3]``, and squared residuals ``[D, G]``; infinite where a side has too few computes.
    """
    designs = np.stack([_design(x, place) for place in breaks])  # [G, n, 3]
    squares = np.einsum("dn,gni,gnj->dgij", weights, designs, designs, optimize=True)
    products = np.einsum("dn,gni,n->dgi", weights, designs, y, optimize=True)
    usable = _sides(x, weights, breaks)
    squares[~usable] = np.eye(3)

    found = np.linalg.solve(squares, products[..., None])[..., 0]
    residuals = (weights @ y**2)[:, None] - np.einsum("dgi,dgi->dg", found, products)
    return found, np.where(usable, residuals, np.inf)


def _sides(x: np.ndarray, weights: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """Return whether a draw has two different computes on each side of a break, bool ``[D, G]``."""
    distinct, places = np.unique(x, return_inverse=True)
    drawn = weights @ np.eye(len(distinct))[places] > 0  # [D, computes]
    below = drawn @ (distinct[:, None] <= breaks).astype(float)
    above = drawn @ (distinct[:, None] >= breaks).astype(float)
    # Lines through one point of a side, or through three points in all, are drawn through anything.
    enough = drawn.sum(axis=1)[:, None] >= FEWEST_COMPUTES
    return (below >= 2) & (above >= 2) & enough
