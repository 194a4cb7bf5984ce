"""What a transfer study leaves for people: tables, a chart of all seeds, a page."""

from collections.abc import Iterator, Mapping

from video_rs.evaluation.intervals import LEVEL, Interval
from video_rs.reports import plots
from video_rs.reports.study_page import Picture, StudyPage, Table, write_study_page
from video_rs.reports.text_table import text_table
from video_rs.reports.transfer_plot import Dots, TransferPanel, transfer_plot
from video_rs.runtime.atomic import replace_bytes, write_csv
from video_rs.runtime.wording import pluralize
from video_rs.studies.intervals import DRAWS, note_on_several
from video_rs.studies.study import Study
from video_rs.studies.transfer.protocols import PROTOCOLS
from video_rs.studies.transfer.table import TransferRow, TransferTable, read_transfer
from video_rs.studies.transfer.verdict import verdict

COLUMNS = (
    "source",
    "target",
    "protocol",
    "runs",
    "finished",
    "top1",
    "top1_spread",
    "top1_low",
    "top1_high",
    "pairs",
    "minus_random",
    "minus_random_low",
    "minus_random_high",
    "minus_random_low_over_videos",
    "minus_random_high_over_videos",
    "chance",
    "reason",
)
"""Of table.csv: top-1 and its differences in [0, 1]."""
HEADS = ("Source", "Target", "Protocol", "Runs", "Top-1", "Spread", "Interval", "Minus random", "Over videos")
TEXTS = ("Target", "Protocol")
NOT_MEASURED = "not measured"
CAPTION = (
    "Dots are seeds, or checkpoints; the line is the mean, the bar Student's interval of "
    f"{100 * LEVEL:.0f} % over seeds. The dashed line is chance. The axes start where differences can be seen."
)
_NOTES = (
    "Spread: the standard deviation over runs. Interval: Student's, of the mean over runs. Minus random: the "
    "difference to fresh weights with the same protocol, seed by seed, with Student's interval of "
    f"{100 * LEVEL:.0f} %. Over videos: the interval of the same difference where seeds and groups of videos are "
    f"drawn again ({DRAWS:,} times), widened for few seeds.",
    "* Features of one checkpoint are the same with every seed, and are measured once; their difference "
    "is to each seed of the random weights. Where all seeds start from one checkpoint, no interval holds the spread "
    "of how that checkpoint came about: give a source as many checkpoints as seeds.",
    "last stages: stem, res2 and res3 are frozen. linear, trained: the training loop on a frozen network. linear, "
    "fitted: logistic regression on stored features of one centre view, its strength chosen inside the training rows. "
    "k-NN: a vote of training videos by the same features.",
)


def write_report(study: Study, failed: Mapping[str, str]) -> list[str]:
    """Write table.csv, transfer.png and report.html into the folder of a study; return what to print.

    Raises:
        InputError: as :func:`video_rs.studies.transfer.table.read_transfer` has it.
    """
    table = read_transfer(study, failed)
    write_csv(study.folder / "table.csv", COLUMNS, csv_rows(table))
    panels = [panel(table, target) for target in table.targets]
    replace_bytes(study.folder / "transfer.png", plots.png(transfer_plot(panels), crop=True))

    sentences = verdict(table)
    page = StudyPage(
        title=f"Transfer study {study.folder.name}",
        sentences=sentences,
        done=len(study.runs) - len(study.unfinished()),
        runs=len(study.runs),
        failed=list(failed.items()),
        pictures=[Picture("Seed by seed", transfer_plot(panels), CAPTION)],
        tables=[*_overviews(table), _whole_table(table)],
    )
    write_study_page(study.folder / "report.html", page)
    printed = text_table(HEADS, [cells(row) for row in table.rows])
    return [printed, *sentences, f"report: {study.folder / 'report.html'}"]


def panel(table: TransferTable, target: str) -> TransferPanel:
    """Return what is drawn of a target."""
    facts = table.targets[target]
    dots = []
    for row in table.rows_of(target):
        values = [100 * value for value in row.top1.values()]
        span = None
        interval = row.interval
        if interval is not None and interval.has_width:
            span = (100 * interval.low, 100 * interval.high)
        dots.append(Dots(row.place.source, PROTOCOLS[row.place.protocol].title, values, span))
    title = f"{target}: {pluralize(facts.videos, 'video')} of {pluralize(facts.groups, 'group')}"
    return TransferPanel(title, 100 * facts.chance, dots)


def cells(row: TransferRow) -> list[str]:
    """Return a row of the table as text."""
    place = row.place
    start = [place.source, place.target, PROTOCOLS[place.protocol].title]
    if not row.top1:
        return [*start, _runs(row), NOT_MEASURED, "", "", "", ""]

    spread = ""
    if row.spread is not None:
        spread = f"{100 * row.spread:.1f}"
    return [
        *start,
        _runs(row),
        f"{100 * row.mean:.1f}",
        spread,
        _range(row.interval, ""),
        _difference(row),
        _range(row.over_videos, "+"),
    ]


def csv_rows(table: TransferTable) -> Iterator[list]:
    """Give the rows of table.csv."""
    for row in table.rows:
        interval = row.interval or ("", "", "")
        mean = row.mean if row.top1 else ""
        spread = "" if row.spread is None else row.spread
        difference = row.difference or ("", "", "")
        if row.difference is None and row.by_seed:
            difference = (row.by_seed[0], "", "")
        over_videos = row.over_videos or ("", "", "")
        yield [
            *row.place,
            row.runs,
            len(row.top1),
            mean,
            spread,
            *interval[1:],
            len(row.by_seed),
            *difference,
            *over_videos[1:],
            table.targets[row.place.target].chance,
            row.reason,
        ]


def _overviews(table: TransferTable) -> list[Table]:
    """Return a table for each target, as papers have it: a row for each source, a column for each protocol."""
    tables = []
    for target, facts in table.targets.items():
        rows = table.rows_of(target)
        protocols = list(dict.fromkeys(row.place.protocol for row in rows))
        found = {(row.place.source, row.place.protocol): row for row in rows}
        lines = []
        for source in dict.fromkeys(row.place.source for row in rows):
            line = [source]
            for protocol in protocols:
                line.append(_short(found.get((source, protocol))))
            lines.append(line)
        heads = ("Source", *(PROTOCOLS[protocol].title for protocol in protocols))
        notes = [f"Top-1 in per cent, mean ± standard deviation over runs; chance is {100 * facts.chance:.1f}."]
        tables.append(Table(target, heads, lines, notes))
    return tables


def _whole_table(table: TransferTable) -> Table:
    """Return all rows with their intervals."""
    return Table("All rows", HEADS, [cells(row) for row in table.rows], notes(table), TEXTS)


def notes(table: TransferTable) -> list[str]:
    """Return what to know of the table."""
    compared = sum(row.difference is not None for row in table.rows)
    return [*_NOTES, *note_on_several(compared, "rows")]


def _short(row: TransferRow | None) -> str:
    """Return mean and spread of a row."""
    if row is None:
        return ""
    if not row.top1:
        return NOT_MEASURED
    if row.spread is None:
        return f"{100 * row.mean:.1f}"
    return f"{100 * row.mean:.1f} ± {100 * row.spread:.1f}"


def _runs(row: TransferRow) -> str:
    """Return how many runs are finished, of how many where that is not all; with a mark where more would be alike."""
    if len(row.top1) == row.runs:
        return f"{row.runs}*" if row.is_one_answer else str(row.runs)
    return f"{len(row.top1)} of {row.runs}"


def _difference(row: TransferRow) -> str:
    """Return the difference to random weights with its interval, in points."""
    if row.difference is None:
        return f"{100 * row.by_seed[0]:+.1f}" if row.by_seed else ""
    mean = f"{100 * row.difference.mean:+.1f}"
    if not row.difference.has_width:
        return f"{mean} (every seed)"
    return f"{mean} {_range(row.difference, '+')}"


def _range(interval: Interval | None, sign: str) -> str:
    """Return the bounds of an interval in per cent; nothing where there is no spread."""
    if interval is None or not interval.has_width:
        return ""
    return f"({100 * interval.low:{sign}.1f} to {100 * interval.high:{sign}.1f})"
