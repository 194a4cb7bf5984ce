"""What an additive study says, in sentences."""

from collections.abc import Sequence

from video_rs.runtime.wording import pluralize
from video_rs.studies.additive import AdditiveTable
from video_rs.studies.intervals import Interval


def verdict(table: AdditiveTable) -> list[str]:
    """Return what the study says, in sentences: what it could have seen, and what it has seen."""
    if table.detectable is None:
        return ["No row has two seeds that the row before has, too: there is nothing to say about single steps yet."]
    tested = f"It tests {pluralize(table.videos, 'video')} of {pluralize(table.groups, 'group')}."
    sentences = [f"{_detectable(table.detectable)} {tested}"]

    for what, attribute, better in (("top-1", "step", 1), ("the cross-entropy", "loss_step", -1)):
        found = [(row, getattr(row, attribute)) for row in table.rows]
        helped = [row.title for row, step in found if step and step.excludes_zero and step.mean * better > 0]
        hurt = [row.title for row, step in found if step and step.excludes_zero and step.mean * better < 0]
        sentences.append(
            f"By {what}, the intervals of these steps are clear of zero. Better with: {_listed(helped)}. Worse with: "
            f"{_listed(hurt)}."
        )

    if table.whole is not None:
        sentences.append(
            f"From the first row to the last: top-1 {_points(table.whole)}; cross-entropy {_nats(table.whole_loss)}."
        )
    return sentences


def _detectable(difference: float) -> str:
    """Return in words what the study could have seen of top-1."""
    if difference == 0:
        return (
            "Each step of top-1 is the same with every seed: that shows no spread, without which no interval can be "
            "given; the test is too small, or the training too short."
        )
    points = f"{100 * difference:.1f} points of top-1"
    if difference > 1:
        return (
            f"From one row to the next, a true difference would have to be of {points} to be found in four of five "
            "cases, and there is none so large: by top-1, this study cannot tell rows apart. Give it more --seeds."
        )
    return (
        f"From one row to the next, this study finds a true difference of {points} in four of five cases; smaller ones "
        "it mostly misses."
    )


def _listed(titles: Sequence[str]) -> str:
    return "; ".join(title.removeprefix("+ ") for title in titles) or "none"


def _points(interval: Interval) -> str:
    """Return a difference of top-1 in words."""
    if not interval.has_width:
        return f"{100 * interval.mean:+.1f} points (the same with every seed)"
    return f"{100 * interval.mean:+.1f} points ({100 * interval.low:+.1f} to {100 * interval.high:+.1f})"


def _nats(interval: Interval | None) -> str:
    """Return a difference of the cross-entropy in words."""
    if interval is None:
        return "no interval, for want of a second group of videos"
    return f"{interval.mean:+.3f} nats ({interval.low:+.3f} to {interval.high:+.3f})"
