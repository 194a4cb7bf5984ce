"""What a frontier leaves for people: table.csv, the plot as PNG and SVG, a page, and sentences."""

import io
from collections.abc import Sequence

from matplotlib.figure import Figure

from video_rs.reports import plots
from video_rs.reports.frontier_plot import Dot, Panel, frontier_plot
from video_rs.reports.study_page import Picture, StudyPage, Table, write_study_page
from video_rs.runtime.atomic import replace_bytes, replace_text, write_csv
from video_rs.studies.frontier.dominance import Point, frontier
from video_rs.studies.frontier.result import Frontier, time_groups, work_groups, work_unit, work_words
from video_rs.studies.frontier.rows import Row
from video_rs.studies.frontier.table import cells, columns, csv_rows, heads, notes
from video_rs.studies.frontier.verdict import verdict

TIME = "s/video"


def write_report(found: Frontier) -> list[str]:
    """Write table.csv, frontier.png, frontier.svg and report.html; return what to print."""
    write_csv(found.folder / "table.csv", columns(found), csv_rows(found))

    # One figure for the files and the page.
    figure = draw(found)
    replace_bytes(found.folder / "frontier.png", plots.png(figure, crop=True))
    replace_text(found.folder / "frontier.svg", svg(figure))

    sentences = verdict(found)
    page = StudyPage(
        title=f"Frontier of accuracy and cost: {found.folder.name}",
        sentences=sentences,
        done=found.asked - len(found.failed),
        runs=found.asked,
        failed=list(found.failed.items()),
        pictures=[Picture("Accuracy against the cost of a whole video", figure, caption(found))],
        tables=[
            Table(
                f"All {found.thing}s",
                heads(found),
                [cells(row, found) for row in by_accuracy(found)],
                notes(found),
                texts=("Numbers", "Other data", "Source"),
            )
        ],
        what=f"{found.thing}s are measured",
        failed_head=found.thing.capitalize(),
    )
    write_study_page(found.folder / "report.html", page)
    return [*sentences, f"report: {found.folder / 'report.html'}"]


def svg(figure: Figure) -> str:
    """Return a figure as SVG on white, cut around all that is drawn."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", facecolor="white", bbox_inches="tight", pad_inches=0.05)
    return buffer.getvalue()


def by_accuracy(found: Frontier) -> list[Row]:
    """Return the rows in the order of the plot's list."""
    return sorted(found.rows, key=lambda row: (-row.top1, row.title))


def draw(found: Frontier) -> Figure:
    """Return the plot: by measured seconds, and by GFLOPs, which every row has."""
    titles = {row.name: row.title for row in found.rows}
    work = work_unit(found)
    dots = []
    for row in found.rows:
        costs = {work: row.video_gflops}
        if row.video_seconds is not None:
            costs[TIME] = row.video_seconds
        dots.append(Dot(row.title, row.top1, row.side, row.cost is not None, bool(row.other_data), costs))

    def named(groups: Sequence[tuple[str, Sequence[Point]]]) -> list[tuple[str, list[str]]]:
        return [(text, [titles[point.name] for point in frontier(points)]) for text, points in groups]

    # By work first, which all have; the measured one goes above it.
    place = "GPU" if found.setting.device == "cuda" else "CPU"
    panels = [
        Panel(work, f"By {work_words(found)} of a whole video", f"{work} of a whole video", named(work_groups(found)))
    ]
    if any(row.cost is not None for row in found.rows):
        title = f"By seconds of a whole video, measured on this {place}"
        panels.insert(0, Panel(TIME, title, "seconds of a whole video", named(time_groups(found))))
    return frontier_plot(dots, panels)


def caption(found: Frontier) -> str:
    """Return what to know below the plot."""
    text = "The line joins the points that no other one beats in accuracy and cost. Costs are on logarithmic axes."
    if not found.are_runs:
        text += " Numbers are those of the list; a diamond or * is a network trained on other data, too."
    return text
