"""What a scaling study says, fitted and in sentences."""

from collections.abc import Sequence
from typing import NamedTuple

from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize
from video_rs.studies.intervals import ROUNDING, Interval
from video_rs.studies.latency import FILE, STEADY
from video_rs.studies.power_law import PowerLaw, fit_power_law, require_error
from video_rs.studies.scaling_results import MeasuredPoint, ScalingResults
from video_rs.studies.strategies import (
    STRATEGIES,
    Contrast,
    alone,
    compare_lines,
    compare_pairs,
    frame_size_pairs,
)

WORDS = {"error": "error", "cross_entropy": "cross-entropy"}
FEW_RUNS = 100  # below so many, the report says that a law of them is a sketch


class Fit(NamedTuple):
    """A law of some points, or why there is none.

    Attributes:
        title: what was scaled.
        epochs: of the training.
        points: that it was fitted to.
        law: or None.
        refusal: why there is no law, or "".
    """

    title: str
    epochs: int
    points: Sequence[MeasuredPoint]
    law: PowerLaw | None
    refusal: str


def fits_of(results: ScalingResults) -> list[Fit]:
    """Return the law of all points and of each strategy, for each length of training, the longest first."""
    refusal = refused(results)
    fits = []
    for epochs in reversed(results.epochs()):
        points = results.trained(epochs)
        fits.append(_fit("all points", epochs, points, results.measure, refusal))
        for axis, name in STRATEGIES.items():
            line = alone(points, axis)
            if len(line) > 1:
                fits.append(_fit(f"{name} alone", epochs, line, results.measure, refusal))
    return fits


def refused(results: ScalingResults) -> str:
    """Return why no law is fitted at all, or ""."""
    if results.measure == "error":
        best = min(value for point in results.points for value in point.values("error"))
        try:
            require_error(best)
        except InputError as error:
            return str(error)
    return ""


def _fit(title: str, epochs: int, points: Sequence[MeasuredPoint], measure: str, refusal: str) -> Fit:
    """Return the law of some points; a law is fitted to runs, not to their means."""
    if refusal:
        return Fit(title, epochs, points, None, refusal)
    values = [value for point in points for value in point.values(measure)]
    computes = [point.gmac for point in points for _ in point.values(measure)]
    try:
        return Fit(title, epochs, points, fit_power_law(computes, values), "")
    except InputError as error:
        return Fit(title, epochs, points, None, str(error))


def verdict(results: ScalingResults, fits: Sequence[Fit]) -> list[str]:
    """Return what the study says, in sentences."""
    points = len(results.points)
    sentences = [
        f"Finished: {pluralize(results.runs, 'run')} of {pluralize(points, 'point')} of the grid, each tested on "
        f"{pluralize(results.test_videos, 'video')}."
    ]
    if results.runs < FEW_RUNS:
        sentences[0] += " So few runs sketch a law; they do not establish one."

    refusal = refused(results)
    if refusal:
        sentences.append(f"{refusal[0].upper()}{refusal[1:]}.")
    else:
        sentences += [_law_sentence(fit, results.measure) for fit in fits if fit.epochs == results.epochs()[-1]]
    sentences += depth_width_sentences(results)
    sentences.append(_pairs_sentence(results))
    if results.latencies.trouble:
        sentences.append(f"Some latencies are not known: {results.latencies.trouble}.")
    if results.latencies.unsteady:
        sentences.append(
            f"The latencies of {results.latencies.unsteady} of {pluralize(len(results.latencies.rows), 'row')} spread "
            f"by more than {100 * STEADY:g} %: the machine was busy. Remove {FILE} and give the command again on a "
            "quiet one."
        )
    return sentences


def _law_sentence(fit: Fit, measure: str) -> str:
    """Return a law in words."""
    start = f"{fit.title[0].upper()}{fit.title[1:]}, {pluralize(fit.epochs, 'epoch')}"
    law = fit.law
    if law is None:
        return f"{start}: {fit.refusal}."
    counted = f"{pluralize(law.runs, 'run')} of {law.computes} computes"
    if law.break_at is not None:
        before, after = law.exponents
        return (
            f"{start}: the {WORDS[measure]} goes as compute to the power {exponent_text(before)} up to a break at "
            f"{break_text(law.break_at)}, and to the power {exponent_text(after)} beyond ({counted}; the corrected "
            f"Akaike criterion prefers the break by {law.gain:.1f})."
        )
    text = f"{start}: the {WORDS[measure]} goes as compute to the power {exponent_text(law.exponents[0])} ({counted})"
    if law.gain is None:
        return f"{text}; a break cannot be told from so few runs."
    return f"{text}; no break (the corrected Akaike criterion prefers the straight law by {abs(law.gain):.1f})."


def exponent_text(exponent: Interval) -> str:
    """Return an exponent with its interval."""
    # "z": without the sign of a zero.
    return f"{exponent.mean:z.2f} ({exponent.low:z.2f} to {exponent.high:z.2f})"


def break_text(at: Interval) -> str:
    """Return a break with its interval."""
    return f"{at.mean:.3g} GMAC ({at.low:.3g} to {at.high:.3g})"


def depth_width_sentences(results: ScalingResults) -> list[str]:
    """Return whether depth or width did better, at the shortest and at the longest training."""
    epochs = results.epochs()
    sentences = []
    for each in dict.fromkeys((epochs[0], epochs[-1])):
        points = results.trained(each)
        contrast = compare_lines(alone(points, "depth"), alone(points, "width"), results.measure)
        when = f"In {pluralize(each, 'epoch')}"
        if contrast is None:
            sentences.append(f"{when}, depth and width cannot be compared: the finished runs do not have two of each.")
        else:
            sentences.append(f"{when}, {_contrast_text(contrast, 'depth', 'width', results.measure)}")
    if len(epochs) == 1:
        sentences.append("The grid has one length of training: it cannot say whether another strategy wins at another.")
    return sentences


def _pairs_sentence(results: ScalingResults) -> str:
    """Return whether more frames or larger ones did better at equal compute."""
    pairs = frame_size_pairs(results.points)
    contrast = compare_pairs(pairs, results.measure)
    if contrast is None:
        return (
            "More frames or larger ones: no two points of the grid differ in this and have GMAC within 25 % of each "
            "other's."
        )
    wins = 0
    for frames, size in pairs:
        # Equal means of several seeds may differ in their last digit.
        wins += frames.mean(results.measure) < size.mean(results.measure) - ROUNDING
    text = _contrast_text(contrast, "more frames", "larger frames", results.measure)
    return f"In {pluralize(len(pairs), 'pair')} of equal compute, more frames were better in {wins}; on average {text}"


def _contrast_text(contrast: Contrast, first: str, second: str, measure: str) -> str:
    """Return which of two ways was better, by how much, and whether that is beyond the spread; ends the sentence."""
    where = f"from {contrast.low:.3g} to {contrast.high:.3g} GMAC"
    if abs(contrast.difference) < ROUNDING:
        return f"{first} and {second} had the same {WORDS[measure]} {where}."

    better, worse = (first, second) if contrast.difference < 0 else (second, first)
    verb = "was" if better in ("depth", "width") else "were"
    size = amount(abs(contrast.difference), measure)
    text = f"{better} {verb} better than {worse} by {size} of {WORDS[measure]} {where}"
    if contrast.interval is None:
        return f"{text}; with one seed a point the spread is not known, and this may be chance."
    if not contrast.interval.has_width:
        return f"{text}; all seeds of a point gave the same, which shows no spread, and this may be chance."

    # The interval is of the difference as subtracted; what is said has the sign of the better one.
    low, high = sorted(abs_signed(bound, contrast.difference) for bound in contrast.interval[1:])
    interval = f"{amount(low, measure)} to {amount(high, measure)}"
    if contrast.interval.excludes_zero:
        return f"{text}, beyond the spread between seeds ({interval})."
    return f"{text}, within the spread between seeds ({interval}): no difference is shown."


def abs_signed(value: float, difference: float) -> float:
    """Return a value as seen from the side on which a difference is positive."""
    return value if difference >= 0 else -value


def amount(value: float, measure: str) -> str:
    """Return an error in points, or a cross-entropy in nats."""
    return f"{100 * value:.1f} points" if measure == "error" else f"{value:.3f} nats"
