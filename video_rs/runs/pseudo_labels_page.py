"""What the page of a selection shows: counts of each class, and clips of it at three confidences."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from video_rs.inference.pseudo_labels.answers import Answers
from video_rs.inference.pseudo_labels.selection import Balance
from video_rs.reports.pseudo_labels_page import ClassCount, Clip, PseudoLabelsPage
from video_rs.video.probing.stills import stills

# Classes whose clips are shown: a page with those of hundreds of classes would take long to open.
MOST_CLASSES = 40


@dataclass(frozen=True)
class Selected:
    """A selection.

    Attributes:
        answers: of the teacher.
        labels: int64 ``[N]``, -1 of videos that could not be taken.
        places: of the rows of the new list.
        balance: what was asked for.
        notes: sentences for people.
    """

    answers: Answers
    labels: np.ndarray
    places: Sequence[int]
    balance: Balance
    notes: Sequence[str]


def page_of(selected: Selected) -> PseudoLabelsPage:
    """Return the page."""
    answers = selected.answers
    taken = set(selected.places)
    counts = _counts(selected, taken)
    readable = answers.labels >= 0
    numbers = [
        ("Videos labelled", str(len(answers.rows))),
        ("Videos taken", str(len(taken))),
        ("Rows of the list", str(len(selected.places))),
        ("Median confidence", f"{100 * np.median(answers.confidences[readable]):.1f} %"),
    ]

    shown = _shown_classes(counts)
    notes = list(selected.notes)
    # Classes without videos have no clips, and a note of their own.
    present = sum(count.before > 0 for count in counts)
    if len(shown) < present:
        notes.append(f"clips of {len(shown)} of {present} classes: those with the most and the fewest videos")
    clips = [(answers.label_names[number], _clips(selected, number, taken)) for number in shown]
    return PseudoLabelsPage(
        "Pseudo-labels", numbers, notes, selected.balance.threshold, answers.confidences[readable], counts, clips
    )


def _counts(selected: Selected, taken: set[int]) -> list[ClassCount]:
    """Return the numbers of each class, in the order of the label map."""
    before = Counter(selected.answers.labels.tolist())
    after = Counter(selected.labels[sorted(taken)].tolist())
    rows = Counter(selected.labels[list(selected.places)].tolist())
    counts = []
    for number, name in enumerate(selected.answers.label_names):
        counts.append(ClassCount(name, before[number], after[number], rows[number]))
    return counts


def _shown_classes(counts: Sequence[ClassCount]) -> list[int]:
    """Return the classes whose clips are shown: those with videos, of many the most frequent and the rarest."""
    present = [number for number, count in enumerate(counts) if count.before]
    if len(present) <= MOST_CLASSES:
        return present
    by_size = sorted(present, key=lambda number: -counts[number].before)
    half = MOST_CLASSES // 2
    return sorted([*by_size[:half], *by_size[-half:]])


def _clips(selected: Selected, number: int, taken: set[int]) -> list[Clip]:
    """Return the surest video of a class, one in the middle, and the least sure one; each once."""
    answers = selected.answers
    places = np.flatnonzero(answers.labels == number)
    order = places[np.argsort(-answers.confidences[places], kind="stable")].tolist()

    levels = {order[0]: "high"}
    levels.setdefault(order[-1], "low")
    levels.setdefault(order[len(order) // 2], "middle")
    clips = []
    for place in sorted(levels, key=order.index):
        row = answers.rows[place]
        (frames,) = stills(row.path, [(row.start, row.end)])
        clips.append(Clip(row.id, levels[place], float(answers.confidences[place]), place in taken, frames))
    return clips
