"""From a teacher's answers to a list that a student is trained on, with a page that shows what was taken."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from video_rs.curation.known_videos import known_places
from video_rs.inference.pseudo_labels.answers import Answers, read_answers
from video_rs.inference.pseudo_labels.labelling import LabelRow
from video_rs.inference.pseudo_labels.selection import Balance, select
from video_rs.lists.checks import require_files
from video_rs.lists.reading import read_listing
from video_rs.lists.records import records_by_split
from video_rs.lists.rows import ListRow
from video_rs.lists.soft_labels import holds_soft_labels, write_soft_labels
from video_rs.lists.writing import columns_in_use, write_list
from video_rs.reports.pseudo_labels_page import is_pseudo_labels_page, write_pseudo_labels_page
from video_rs.runs.pseudo_labels_page import Selected, page_of
from video_rs.runtime.errors import InputError
from video_rs.runtime.outputs import check_outputs
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.wording import first_names, pluralize

CONFIDENCE = "confidence"
"""The column by which a list is known as a selection."""


@dataclass(frozen=True)
class Selection:
    """What is asked for.

    Attributes:
        answers: folder that pseudo_label has written.
        out: the CSV; the page is beside it, and for soft labels a Parquet file.
        balance: what is taken of each class.
        soft: whether the probabilities go with the list.
        labelled: lists whose videos are left out; their validation and test rows must not be among the answers.
        val: further lists of validation videos.
        root: what relative paths of these lists start from; "": the folder of each.
    """

    answers: str
    out: str
    balance: Balance
    soft: bool = False
    labelled: tuple[str, ...] = ()
    val: tuple[str, ...] = ()
    root: str = ""

    @property
    def out_file(self) -> Path:
        """The list."""
        return Path(self.out)

    @property
    def soft_labels_file(self) -> Path:
        """The probabilities, where training looks for those of the list."""
        return self.out_file.with_suffix(".parquet")

    @property
    def page_file(self) -> Path:
        """The page."""
        return self.out_file.with_suffix(".html")


def run_selection(asked: Selection) -> dict[str, int]:
    """Write the list, its soft labels and its page.

    Returns:
        The numbers of ``videos`` and of ``rows``.

    Raises:
        InputError: bad input, validation videos among the answers, or nothing is left.
    """
    asked.balance.check()
    _check_outputs(asked)
    answers = read_answers(asked.answers)
    known = _read_known(asked)
    doubts = _doubts_on_classes(asked, answers.label_names, known.label_names)
    paths = [row.path for row in answers.rows]
    _refuse_held_out(asked, paths, known.held_out)
    left_out = known_places(paths, known.training)

    again = _places_again(answers.rows)
    labels = answers.labels.copy()
    labels[[*left_out, *again]] = -1
    places = select(labels, answers.confidences, asked.balance)
    _require_some(asked, answers, labels, places)
    notes = [*doubts, *_notes(answers, labels, places, len(left_out), len(again))]

    _write_list(asked, answers, places)
    page = page_of(Selected(answers, labels, places, asked.balance, notes))
    write_pseudo_labels_page(asked.page_file, page)

    print_notes(notes)
    found = {"videos": len(set(places)), "rows": len(places)}
    print_line(f"{pluralize(found['videos'], 'video')} of {len(paths)} in {pluralize(found['rows'], 'row')}")
    soft_labels = [asked.soft_labels_file] if asked.soft else []
    files = [asked.out_file, *soft_labels, asked.page_file]
    print_line(f"results: {'  '.join(map(str, files))}")
    return found


def _check_outputs(asked: Selection) -> None:
    """Raise InputError where a file that is not of an earlier selection would be replaced, or removed."""
    out = asked.out_file
    if out.suffix != ".csv":
        raise InputError(f"--out is {asked.out}; allowed: a file whose name ends with .csv")
    if out.parent.resolve() == Path(asked.answers).resolve():
        raise InputError(f"--out {asked.out} lies among the teacher's answers in {asked.answers}; take another folder")
    check_outputs({"--out": out}, [*asked.labelled, *asked.val])

    if out.exists() and CONFIDENCE not in _header(out):
        raise InputError(f"--out {out} is there, and no earlier selection (no column {CONFIDENCE}); take another file")
    # Training takes a file of this name for the soft labels of the list.
    if asked.soft_labels_file.exists() and not holds_soft_labels(asked.soft_labels_file):
        raise InputError(
            f"{asked.soft_labels_file} is there, where soft labels of --out {asked.out} would lie, and holds none; it "
            "stays: take another --out"
        )
    if asked.page_file.exists() and not is_pseudo_labels_page(asked.page_file):
        raise InputError(
            f"{asked.page_file} is there, where the page of --out {asked.out} goes, and is another page; it stays: "
            "take another --out"
        )


def _header(path: Path) -> list[str]:
    """Return the names of the columns of a CSV."""
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return next(csv.reader(file), [])


class _Known(NamedTuple):
    """What a list, or several, hold already.

    Attributes:
        training: paths of the training videos, which are all where there are no splits.
        held_out: paths of the validation and test videos.
        label_names: of the classes that have a row.
    """

    training: set[str]
    held_out: set[str]
    label_names: set[str]


def _read_known(asked: Selection) -> _Known:
    """Return what the labelled lists hold, and which further videos are held out."""
    known = _Known(set(), set(), set())
    for source in asked.labelled:
        found = _read_list(source, asked.root)
        for kept, more in zip(known, found, strict=True):
            kept |= more
    for source in asked.val:
        found = _read_list(source, asked.root)
        # A list without splits is one of validation videos.
        known.held_out.update(found.held_out or found.training)
    return known


def _read_list(source: str, root: str) -> _Known:
    """Return what a list holds."""
    known = _Known(set(), set(), set())
    for split, records in records_by_split(read_listing(source, root, require_labels=False), source).items():
        # A row that is passed over might be of a video that has to be refused.
        for fault in records.faults:
            raise InputError(fault.reason)
        # So might a file that is looked for in another place.
        require_files(records.found, "--root")
        known.label_names.update(records.found.label_names)
        kind = known.training if split in ("", "train") else known.held_out
        kind.update(record.path for record in records.found.records)
    return known


def _doubts_on_classes(asked: Selection, label_names: Sequence[str], known: set[str]) -> list[str]:
    """Return a note where some classes of the teacher are none of the labelled lists'.

    Args:
        asked: with the lists, for messages.
        label_names: of the teacher's classes.
        known: names of the classes in the lists.

    Raises:
        InputError: not one is: a student of these lists could not be trained on the answers.
    """
    # Numbers are no names: 3 is another class in each data set.
    if not known or all(name.isdecimal() for name in known):
        return []

    others = [repr(name) for name in label_names if name not in known]
    if not others:
        return []
    lists = ", ".join(asked.labelled)
    if len(others) == len(label_names):
        raise InputError(
            f"none of the teacher's {pluralize(len(others), 'class', 'classes')} has a row in --labelled {lists}: "
            f"{first_names(others)}; take a teacher of the classes that are there"
        )
    return [
        f"{len(others)} of the teacher's {len(label_names)} classes have no row in {lists}: {first_names(others)}; "
        "training takes their videos where DATA.LABEL_MAP names them"
    ]


def _refuse_held_out(asked: Selection, paths: Sequence[str], held_out: set[str]) -> None:
    """Raise InputError where videos that a student is judged by are among the answers."""
    shared = known_places(paths, held_out)
    if shared:
        raise InputError(
            f"{asked.answers} has {pluralize(len(shared), 'video')} of the validation or test rows of "
            f"{', '.join([*asked.labelled, *asked.val])}, such as {paths[shared[0]]}; label a list without them: what "
            "a student has trained on says nothing about new videos"
        )


def _places_again(rows: Sequence[LabelRow]) -> list[int]:
    """Return the places of videos, or of segments, that are in the list before: how often each is taken is --repeat."""
    known = set()
    again = []
    for place, row in enumerate(rows):
        what = (row.path, row.start, row.end)
        if what in known:
            again.append(place)
        known.add(what)
    return again


def _require_some(asked: Selection, answers: Answers, labels: np.ndarray, places: Sequence[int]) -> None:
    """Raise InputError where nothing is chosen."""
    if places:
        return
    if not (labels >= 0).any():
        raise InputError(
            f"nothing is left of {asked.answers}: each of its {pluralize(len(labels), 'video')} failed, shows none of "
            "the classes, or is in the labelled lists; label other videos"
        )
    raise InputError(
        f"no video of {asked.answers} has a confidence of {asked.balance.threshold:g} or more; the highest is "
        f"{answers.confidences[labels >= 0].max():.3g}; take a lower --threshold"
    )


def _notes(answers: Answers, labels: np.ndarray, places: Sequence[int], left_out: int, again: int) -> list[str]:
    """Return sentences on what is not in the list.

    Args:
        answers: of the teacher.
        labels: int64 ``[N]``, -1 of videos that could not be taken.
        places: of the rows of the new list.
        left_out: videos that the labelled lists hold.
        again: rows of videos that an earlier row has.
    """
    notes = []
    failed = sum(row.error is not None for row in answers.rows)
    if failed:
        notes.append(f"{pluralize(failed, 'video')} could not be read by the teacher")
    of_no_class = int(np.count_nonzero(answers.labels < 0)) - failed
    if of_no_class:
        notes.append(f"{pluralize(of_no_class, 'video')} left out, which the teacher gives to none of the classes")
    if left_out:
        notes.append(f"{pluralize(left_out, 'video')} left out, which the labelled lists hold already")
    if again:
        notes.append(f"{pluralize(again, 'row')} left out, of videos that the list has before")
    taken = set(labels[list(places)].tolist())
    empty = [name for number, name in enumerate(answers.label_names) if number not in taken]
    if empty:
        notes.append(f"no video of {pluralize(len(empty), 'class', 'classes')}: {first_names(empty)}")
    return notes


def _write_rows(out: Path, answers: Answers, places: Sequence[int]) -> None:
    """Write the list."""
    rows = []
    for place in places:
        found = answers.rows[place]
        label = answers.label_names[answers.labels[place]]
        start = "" if found.start is None else repr(found.start)
        end = "" if found.end is None else repr(found.end)
        rows.append(ListRow(0, found.path, label, start=start, end=end))
    confidences = [f"{answers.confidences[place]:.6g}" for place in places]
    write_list(out, rows, columns_in_use(rows, always=("label",)), {CONFIDENCE: confidences})


def _write_list(asked: Selection, answers: Answers, places: Sequence[int]) -> None:
    """Write the list and what training reads beside it; a full disk loses nothing of an earlier selection."""
    if asked.soft:
        paths = [answers.rows[place].path for place in places]
        write_soft_labels(asked.soft_labels_file, paths, answers.soft_labels(places), answers.label_names)
    _write_rows(asked.out_file, answers, places)
    if not asked.soft:
        # Training would take those of an earlier selection for the soft labels of this list.
        asked.soft_labels_file.unlink(missing_ok=True)
