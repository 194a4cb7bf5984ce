"""What an additive study leaves for people: a table, a chart beside the published one, a page."""

from collections.abc import Iterator, Mapping

from video_rs.reports import plots
from video_rs.reports.additive_plot import Bar, additive_plot
from video_rs.reports.study_page import Picture, StudyPage, Table, write_study_page
from video_rs.reports.text_table import text_table
from video_rs.runtime.atomic import replace_bytes, write_csv
from video_rs.runtime.wording import pluralize
from video_rs.studies.additive import AdditiveTable, TableRow, read_table
from video_rs.studies.additive_verdict import verdict
from video_rs.studies.intervals import DRAWS, LEVEL, Interval, note_on_several
from video_rs.studies.study import Study

COLUMNS = (
    "row",
    "title",
    "published_top1",
    "published_source",
    "seeds",
    "top1",
    "top1_spread",
    "step",
    "step_low",
    "step_high",
    "log_loss",
    "log_loss_step",
    "log_loss_step_low",
    "log_loss_step_high",
)
"""Of table.csv: top-1 and its differences in [0, 1], log-losses in nats."""
HEADS = ("Row", "Published", "Seeds", "Top-1", "Spread", "Step", "Log-loss", "Step of the log-loss")
CAPTION = (
    "Bars are means, dots are seeds; hatched are numbers from memory, not read off the paper. The axes start where "
    "differences can be seen."
)
_NOTES = (
    "* from memory, not read off the paper.",
    "Spread: the standard deviation over seeds. Step: the difference to the row before, seed by seed, with Student's "
    f"interval of {100 * LEVEL:.0f} %; every seed: all of them have this difference, and show no spread. Where one row "
    "has more seeds than the other, the step is that of the seeds that both have, and not the difference of the means.",
    f"Step of the log-loss: over all test videos; its interval of {100 * LEVEL:.0f} % draws seeds and groups of videos "
    f"again ({DRAWS:,} times), widened for few seeds. Less is better.",
)


def write_report(study: Study, failed: Mapping[str, str]) -> list[str]:
    """Write table.csv, additive.png and report.html into the folder of a study; return what to print."""
    table = read_table(study)
    write_csv(study.folder / "table.csv", COLUMNS, csv_rows(table))

    videos = f"{pluralize(table.videos, 'video')} of {pluralize(table.groups, 'group')}"
    bars = [_bar(row) for row in table.rows]
    replace_bytes(study.folder / "additive.png", plots.png(additive_plot(bars, videos), crop=True))
    sentences = verdict(table)
    page = StudyPage(
        title=f"Additive study {study.folder.name}",
        sentences=sentences,
        done=len(study.runs) - len(study.unfinished()),
        runs=len(study.runs),
        failed=list(failed.items()),
        pictures=[
            Picture(
                "Row by row",
                additive_plot(bars, videos),
                CAPTION,
            )
        ],
        tables=[Table("Rows", HEADS, [cells(row) for row in table.rows], notes(table))],
    )
    write_study_page(study.folder / "report.html", page)
    printed = text_table(HEADS, [cells(row) for row in table.rows])
    return [printed, *sentences, f"report: {study.folder / 'report.html'}"]


def cells(row: TableRow) -> list[str]:
    """Return a row of the table as text."""
    log_loss = sum(row.log_loss.values()) / len(row.log_loss)
    return [
        row.title,
        _published(row),
        str(len(row.top1)),
        f"{100 * row.mean:.1f}",
        f"{100 * row.spread:.1f}" if len(row.top1) > 1 else "",
        _with_interval(row.step, 100, 1),
        f"{log_loss:.3f}",
        _with_interval(row.loss_step, 1, 3),
    ]


def notes(table: AdditiveTable) -> list[str]:
    """Return what to know of the table."""
    steps = sum(row.step is not None for row in table.rows)
    return [*_NOTES, *note_on_several(steps, "steps")]


def _bar(row: TableRow) -> Bar:
    values = [100 * value for value in row.top1.values()]
    if row.published is None:
        return Bar(row.title, None, values)
    return Bar(row.title, row.published.published, values, row.published.is_remembered)


def _published(row: TableRow) -> str:
    """Return the published number, with a mark where it is from memory."""
    if row.published is None:
        return ""
    mark = "*" if row.published.is_remembered else ""
    return f"{row.published.published:.1f}{mark}"


def _with_interval(interval: Interval | None, factor: float, digits: int) -> str:
    if interval is None:
        return ""
    if not interval.has_width:
        return f"{factor * interval.mean:+.{digits}f} (every seed)"
    mean, low, high = (f"{factor * value:+.{digits}f}" for value in interval)
    return f"{mean} ({low} to {high})"


def csv_rows(table: AdditiveTable) -> Iterator[list]:
    """Give the rows of table.csv."""
    for row in table.rows:
        log_loss = sum(row.log_loss.values()) / len(row.log_loss)
        step = row.step or ("", "", "")
        loss_step = row.loss_step or ("", "", "")
        measured = [len(row.top1), row.mean, row.spread, *step, log_loss, *loss_step]
        published = ("", "")
        if row.published is not None:
            published = (row.published.published, row.published.source)
        yield [row.name, row.title, *published, *measured]
