"""What a transfer study says, in sentences."""

from collections.abc import Sequence

from video_rs.evaluation.intervals import Interval
from video_rs.runtime.wording import pluralize
from video_rs.studies.transfer.protocols import PROTOCOLS
from video_rs.studies.transfer.sources import RANDOM
from video_rs.studies.transfer.table import TransferRow, TransferTable


def verdict(table: TransferTable) -> list[str]:
    """Return which differences to random weights are outside their intervals, and what is not measured."""
    sentences = []
    if not table.has_random:
        sentences.append("The source random is not among these: nothing is compared with a start from fresh weights.")
    for target in table.targets:
        rows = [row for row in table.rows_of(target) if row.place.source != RANDOM]
        if table.has_random and rows:
            sentences += _about_target(table, target, rows)

    return [*sentences, *_about_reasons(table)]


def _about_reasons(table: TransferTable) -> list[str]:
    """Return what is not, or not wholly, measured, and why: a sentence for each reason."""
    names: dict[str, list[str]] = {}
    for row in table.rows:
        if row.reason:
            names.setdefault(row.reason, []).append(f"{row.place.source} on {row.place.target}")

    sentences = []
    for reason, places in names.items():
        sentences.append(f"Not, or not wholly, measured: {', '.join(dict.fromkeys(places))}: {reason}.")
    return sentences


def _about_target(table: TransferTable, target: str, rows: Sequence[TransferRow]) -> list[str]:
    """Return what is known of a target."""
    facts = table.targets[target]
    tested = f"{pluralize(facts.videos, 'video')} of {pluralize(facts.groups, 'group')}"
    detectable = table.detectable[target]
    if detectable is None:
        return [f"On {target} ({tested}): no row has two seeds that random has, too; there are no intervals yet."]

    better = [row for row in rows if _is_clear(row.difference, above=True)]
    worse = [row for row in rows if _is_clear(row.difference, above=False)]
    sentences = [
        f"On {target} ({tested}, chance {100 * facts.chance:.1f}), against random weights, these differences of top-1 "
        f"are outside the interval over seeds. Better: {_listed(better)}. Worse: {_listed(worse)}. "
        f"{_detectable(detectable)}"
    ]
    if better or worse:
        lasting = [row for row in (*better, *worse) if row.over_videos is not None and row.over_videos.excludes_zero]
        sentences.append(
            f"Of these, {_names(lasting)} {'is' if len(lasting) == 1 else 'are'} outside the interval over other "
            f"groups of videos, too; what is not is known of these {pluralize(facts.videos, 'video')} alone."
        )
    return sentences


def _is_clear(interval: Interval | None, above: bool) -> bool:
    """Return whether an interval lies on one side of zero."""
    return interval is not None and interval.excludes_zero and (interval.mean > 0) == above


def _detectable(difference: float) -> str:
    """Return in words what the study could have seen."""
    if difference == 0:
        return "Each difference is the same with every seed, which shows no spread, and so no interval."
    return (
        f"A true difference of {100 * difference:.1f} points is found in four of five cases; smaller ones mostly not."
    )


def _listed(rows: Sequence[TransferRow]) -> str:
    """Return rows with their differences in points."""
    parts = []
    for row in rows:
        mean, low, high = (100 * value for value in row.difference)
        parts.append(f"{_name(row)} {mean:+.1f} ({low:+.1f} to {high:+.1f})")
    return "; ".join(parts) or "none"


def _names(rows: Sequence[TransferRow]) -> str:
    return ", ".join(map(_name, rows)) or "none"


def _name(row: TransferRow) -> str:
    return f"{row.place.source} with {PROTOCOLS[row.place.protocol].title}"
