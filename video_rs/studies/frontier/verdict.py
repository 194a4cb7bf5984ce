"""What a frontier says, in words."""

from collections.abc import Mapping

from video_rs.reports.frontier_plot import OURS, three_digits
from video_rs.runtime.wording import pluralize
from video_rs.studies.frontier.dominance import Point, best_instead, frontier
from video_rs.studies.frontier.result import Frontier, time_groups, work_groups, work_unit, work_words
from video_rs.studies.frontier.rows import Row, points_by_time

MOST_PASSED = 8  # sentences about rows that are not on the frontier


def verdict(found: Frontier) -> list[str]:
    """Return what the numbers say, a sentence for each string."""
    rows = {row.name: row for row in found.rows}
    sentences = [how_measured(found)]

    # The frontiers, point by point.
    kinds = (("measured seconds", time_groups(found), "s"), (work_words(found), work_groups(found), work_unit(found)))
    for words, groups, unit in kinds:
        for text, points in groups:
            if points:
                names = [_with_numbers(point, rows, unit) for point in frontier(points)]
                sentences.append(f"{_capital(text)}, by {words} of a whole video: {'; '.join(names)}.")

    # Then where ours are passed; that others are, the table says.
    points = points_by_time(found.rows)
    passed = []
    for point in points:
        other = best_instead(point, points)
        if other is not None and rows[point.name].side == OURS:
            passed.append(_passed(point, other, rows))

    sentences += passed[:MOST_PASSED]
    if len(passed) > MOST_PASSED:
        sentences.append(f"So are {pluralize(len(passed) - MOST_PASSED, 'more', 'more')}; the table says by what.")
    return sentences


def how_measured(found: Frontier) -> str:
    """Return what was measured, on what, and how."""
    setting = found.setting
    measured = found.asked - len(found.failed)
    processor = found.machine["gpu"] or f"{found.machine['processor']}, {found.machine['cores']} cores"
    text = f"{pluralize(measured, found.thing)} measured on {processor}, in {setting.precision}; "
    # accelerate has engines; in bfloat16 the network itself is compiled, or not.
    way, engine = setting.way()
    text += f"ours by the engine {engine}" if engine else f"ours {way}"
    if found.are_runs:
        return f"{text}."
    peers = "the others by the same" if setting.same_engine else "the others as their libraries ship them"
    return f"{text}, {peers}."


def _with_numbers(point: Point, rows: Mapping[str, Row], unit: str) -> str:
    return f"{rows[point.name].title} ({point.top1:.1f} %, {three_digits(point.cost)} {unit})"


def _passed(point: Point, other: Point, rows: Mapping[str, Row]) -> str:
    """Return a sentence on what is at least as accurate at less time."""
    row = rows[other.name]
    data = f", which was trained on {row.other_data}, too," if row.other_data else ""
    return (
        f"{rows[point.name].title} ({point.top1:.1f} %, {three_digits(point.cost)} s) is passed by "
        f"{row.title}{data} with {other.top1:.1f} % in {three_digits(other.cost)} s."
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
