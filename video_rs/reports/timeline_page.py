"""The page of a timeline: the film, below it when it shows which class, and curves of probabilities; a click seeks."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from video_rs.reports.page import template
from video_rs.runtime.atomic import replace_text

# Far apart in hue, and dark enough for white text (Tol 2021, "bright" and "muted", some darkened).
COLORS = (
    "#0b5fa5",
    "#c8500a",
    "#2e7d32",
    "#8e2f8a",
    "#8a6d00",
    "#a31545",
    "#00707f",
    "#5a3fa0",
    "#6b4226",
    "#44546a",
    "#b5179e",
    "#1b4332",
    "#7f4f24",
    "#3a0ca3",
    "#9d0208",
    "#4d908e",
    "#606c38",
)
MOST_POINTS = 2000  # of a curve; of more windows, the highest of some in a row
MOST_ROWS = 12  # classes with a row of their own; what the others show is in the table
MOST_LISTED = 300  # segments in the table; all are in segments.csv
TICK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
MOST_TICKS = 10


class Part(NamedTuple):
    """A segment of the page.

    Attributes:
        start, end: seconds.
        label: class name.
        score: in [0, 1]; None for an annotated segment.
        unsure: whether the score is too low to be an answer.
    """

    start: float
    end: float
    label: str
    score: float | None = None
    unsure: bool = False


class Curve(NamedTuple):
    """The probability of a class over time.

    Attributes:
        label: class name.
        values: float ``[N]`` in [0, 1], NaN where a window could not be read.
    """

    label: str
    values: np.ndarray


@dataclass(frozen=True)
class TimelinePage:
    """What the page shows.

    Attributes:
        title: headline.
        film: URL of the film, relative to the page; "": there is none to show.
        start, end: seconds.
        parts: found segments, in their order.
        truth: annotated segments; empty: nobody annotated.
        times: float ``[N]``, the middle of each window in seconds.
        curves: of some classes, the most important first.
        levels: probabilities at which a segment begins and ends.
        facts: (name, value) pairs.
        notes: sentences.
    """

    title: str
    film: str
    start: float
    end: float
    parts: Sequence[Part]
    truth: Sequence[Part]
    times: np.ndarray
    curves: Sequence[Curve]
    levels: tuple[float, float]
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str] = ()


def write_timeline_page(path: str | Path, page: TimelinePage) -> None:
    """Write the page, whole or not at all."""
    text = template("timeline.html.j2").render(_values(page), clicks=True)
    replace_text(Path(path), text)


def timeline_panel(page: TimelinePage) -> str:
    """Return HTML for a part of another page: the bars, the curves and the table, without a script.

    Its rules of style are for what is in it only. The film, the facts and the notes are left out.
    """
    return template("timeline_panel.html.j2").render(_values(page), clicks=False)


def _values(page: TimelinePage) -> dict[str, Any]:
    """Return what the templates show."""
    labels = _labels_in_order(page)
    colors = {label: COLORS[place % len(COLORS)] for place, label in enumerate(labels)}
    shown = labels[:MOST_ROWS]

    return {
        "title": page.title,
        "written": time.strftime("%Y-%m-%d %H:%M"),
        "film": page.film,
        "start": page.start,
        "end": page.end,
        "facts": list(page.facts),
        "notes": list(page.notes),
        "rows": _rows(page, shown, colors),
        "left_out": len({part.label for part in (*page.parts, *page.truth)} - set(shown)),
        "curves": _curves(page, colors),
        "levels": [100 * (1 - level) for level in page.levels],
        "ticks": _ticks(page),
        "listed": [_listed(part, colors) for part in page.parts[:MOST_LISTED]],
        "parts": len(page.parts),
        "clock": clock,
    }


def clock(seconds: float) -> str:
    """Return ``1:02:03.4``, or ``2:03.4`` where it is less than an hour."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    rest = f"{tenths / 10:04.1f}"
    if hours:
        return f"{hours}:{minutes:02}:{rest}"
    return f"{minutes}:{rest}"


def _labels_in_order(page: TimelinePage) -> list[str]:
    """Return the classes of the page: those of segments, the longest first, then those of curves alone."""
    seconds: dict[str, float] = {}
    for part in (*page.parts, *page.truth):
        seconds[part.label] = seconds.get(part.label, 0.0) + part.end - part.start
    longest_first = sorted(seconds, key=lambda label: -seconds[label])
    of_curves = [curve.label for curve in page.curves if curve.label not in seconds]
    return longest_first + of_curves


def _rows(page: TimelinePage, labels: Sequence[str], colors: dict[str, str]) -> list[dict[str, Any]]:
    """Return a row for each class that has segments: the found ones, and above them the annotated ones."""
    rows = []
    for label in labels:
        found = [_bar(page, part) for part in page.parts if part.label == label]
        truth = [_bar(page, part) for part in page.truth if part.label == label]
        if found or truth:
            rows.append({"label": label, "color": colors[label], "found": found, "truth": truth})
    return rows


def _bar(page: TimelinePage, part: Part) -> dict[str, Any]:
    """Return a segment as the template takes it: its place in per cent of the width."""
    text = f"{clock(part.start)} - {clock(part.end)}  {part.label}"
    if part.score is not None:
        text += f"  {part.score:.0%}"
    if part.unsure:
        text += "  (unsure)"
    left = _place(page, part.start)
    return {
        "left": left,
        "width": _place(page, part.end) - left,
        "start": part.start,
        "end": part.end,
        "unsure": part.unsure,
        "text": text,
    }


def _listed(part: Part, colors: dict[str, str]) -> dict[str, Any]:
    """Return a segment as a row of the table."""
    return {**part._asdict(), "color": colors[part.label]}


def _place(page: TimelinePage, seconds: float) -> float:
    """Return where a time is, in per cent of the width."""
    return 100 * (seconds - page.start) / max(page.end - page.start, 1e-9)


def _curves(page: TimelinePage, colors: dict[str, str]) -> list[dict[str, Any]]:
    """Return the curves as paths in a box of 100 x 100."""
    step = max(1, -(-len(page.times) // MOST_POINTS))
    places = [_place(page, seconds) for seconds in page.times[::step]]
    curves = []
    for curve in page.curves:
        heights = _highest(np.asarray(curve.values, float), step)
        path = _path(places, heights)
        curves.append({"label": curve.label, "color": colors[curve.label], "path": path})
    return curves


def _highest(values: np.ndarray, step: int) -> np.ndarray:
    """Return the highest of each ``step`` values in a row, NaN where there is none."""
    padded = np.full(-(-len(values) // step) * step, -np.inf)
    padded[: len(values)] = np.where(np.isnan(values), -np.inf, values)
    highest = padded.reshape(-1, step).max(axis=1)
    return np.where(np.isinf(highest), np.nan, highest)


def _path(places: Sequence[float], heights: np.ndarray) -> str:
    """Return an SVG path through the points, broken where there is no value."""
    commands = []
    is_drawing = False
    for place, height in zip(places, heights.tolist(), strict=True):
        if np.isnan(height):
            is_drawing = False
            continue
        command = "L" if is_drawing else "M"
        commands.append(f"{command}{place:.3f} {100 * (1 - height):.2f}")
        is_drawing = True
    return "".join(commands)


def _ticks(page: TimelinePage) -> list[dict[str, Any]]:
    """Return times for the axis: at most ten, at round numbers."""
    seconds = page.end - page.start
    step = next((step for step in TICK_STEPS if seconds / step <= MOST_TICKS), TICK_STEPS[-1])
    ticks = []
    tick = step * np.ceil(page.start / step)
    # A text at the very end would stick out.
    while tick < page.end - 0.03 * seconds:
        text = clock(tick).removesuffix(".0")
        ticks.append({"left": _place(page, float(tick)), "text": text})
        tick += step
    return ticks
