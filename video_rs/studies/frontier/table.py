"""The rows of a frontier as a CSV, and as the text of a page."""

from collections.abc import Iterator
from typing import Any

from video_rs.reports.frontier_plot import three_digits
from video_rs.runtime.wording import pluralize
from video_rs.studies.frontier.dominance import best_instead
from video_rs.studies.frontier.result import Frontier, work_unit
from video_rs.studies.frontier.rows import Row, frontier_names, points_by_time, points_by_work


def columns(found: Frontier) -> list[str]:
    """Return the columns of table.csv: top-1 in per cent, GFLOPs as the source counts them, seconds as measured."""
    more = list(found.rows[0].more)
    return [
        *("name", "title", "mark", "frames", "size", "views", "crops", "top1", "gflops_per_view", "gflops_per_video"),
        *("params_m", "other_data", "seconds_per_view", "seconds_per_video", "spread", "views_per_s", "batch"),
        *("peak_memory_mb", "frontier_by_seconds", "frontier_by_gflops", "passed_by", *more),
    ]


def csv_rows(found: Frontier) -> Iterator[list[Any]]:
    """Yield the rows of table.csv; a frontier is that of all rows."""
    by_time = points_by_time(found.rows)
    names_by_time = frontier_names(by_time)
    names_by_work = frontier_names(points_by_work(found.rows))
    time_points = {point.name: point for point in by_time}

    for row in found.rows:
        measured: list[Any] = [""] * 6
        passed_by = ""
        if row.cost is not None:
            cost = row.cost
            measured = [cost.seconds, row.video_seconds, cost.spread, cost.views_per_s, found.setting.batch]
            measured.append(cost.peak_memory_mb)
            other = best_instead(time_points[row.name], by_time)
            if other is not None:
                passed_by = other.name

        frontiers = [_yes(row.name in names_by_time), _yes(row.name in names_by_work)]
        what = [row.name, row.title, row.mark, row.frames, row.size, row.views, row.crops, row.top1]
        work = [row.gflops, row.video_gflops, row.params_m, row.other_data]
        yield [*what, *work, *measured, *frontiers, passed_by, *row.more.values()]


def _yes(is_so: bool) -> str:
    return "yes" if is_so else ""


def heads(found: Frontier) -> list[str]:
    """Return the heads of the page's table."""
    unit = work_unit(found)
    work = [f"{unit}/view", f"{unit}/video"]
    common = ["Top-1", "Clip", "Views", *work, "s/view", "s/video", "views/s", "Parameters, M"]
    if found.are_runs:
        return ["Run", *common, "Videos"]
    return ["Network", *common, "Numbers", "Other data", "Source"]


def cells(row: Row, found: Frontier) -> list[str]:
    """Return a row of the page's table as text."""
    measured = [""] * 3
    if row.cost is not None:
        measured = [three_digits(value) for value in (row.cost.seconds, row.video_seconds, row.cost.views_per_s)]
    common = [
        row.title,
        f"{row.top1:.1f}",
        f"{row.frames} x {row.size}",
        f"{row.views} x {row.crops}",
        three_digits(row.gflops),
        three_digits(row.video_gflops),
        *measured,
        "" if row.params_m is None else f"{row.params_m:.1f}",
    ]
    if found.are_runs:
        return [*common, row.more["videos"]]
    return [*common, row.mark, row.other_data, row.more["source"]]


def notes(found: Frontier) -> list[str]:
    """Return what to know of the table."""
    rounds = pluralize(found.setting.rounds, "round")
    lines = [
        f"s/view: the median time of one view alone, in a process of its own: {rounds}, in each of which all processes "
        "of a group take their turn; groups are joined by a reference network that is in each of them. s/video: that, "
        f"times the views of a video. views/s: {pluralize(found.setting.batch, 'view')} at once. Reading the video "
        "is not in them.",
    ]
    if found.are_runs:
        lines.append(
            "GMAC: 10^9 multiply-adds. Runs of one network share its cost: of several seeds the luckiest is on the "
            "frontier."
        )
        return lines
    lines.append(
        "Top-1 on Kinetics-400 as published, each on the validation videos that its authors still had: differences of "
        "half a point say little. GFLOPs as the source counts them, mostly 10^9 multiply-adds of the network; where "
        "the source has no number of this clip, they are counted here, in multiply-adds (column gflops_by of "
        "table.csv)."
    )
    return lines
