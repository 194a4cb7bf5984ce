"""From a teacher's answers to a list that a student is trained on, with a page that shows what was taken."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import parquet

from video_rs.curation.known_videos import known_places
from video_rs.inference.pseudo_labels.answers import Answers, read_answers
from video_rs.inference.pseudo_labels.selection import Balance, select
from video_rs.inference.pseudo_labels.shards import NAMES_KEY
from video_rs.lists.reading import read_listing
from video_rs.lists.records import records_by_split
from video_rs.lists.rows import ListRow
from video_rs.lists.writing import columns_in_use, write_list
from video_rs.reports.pseudo_labels_page import write_pseudo_labels_page
from video_rs.runs.pseudo_labels_page import Selected, page_of
from video_rs.runtime.atomic import replace_bytes
from video_rs.runtime.errors import InputError
from video_rs.runtime.outputs import check_outputs
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.wording import first_names, pluralize


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
    """

    answers: str
    out: str
    balance: Balance
    soft: bool = False
    labelled: tuple[str, ...] = ()
    val: tuple[str, ...] = ()


def run_selection(asked: Selection) -> dict[str, int]:
    """Write the list, its soft labels and its page.

    Returns:
        The numbers of ``videos`` and of ``rows``.

    Raises:
        InputError: bad input, validation videos among the answers, or nothing is left.
    """
    asked.balance.check()
    out = Path(asked.out)
    if out.suffix != ".csv":
        raise InputError(f"--out is {asked.out}; allowed: a file whose name ends with .csv")
    check_outputs({"--out": out}, [*asked.labelled, *asked.val])

    answers = read_answers(asked.answers)
    training, held_out = _known_paths(asked)
    paths = [row.path for row in answers.rows]
    _refuse_held_out(asked, paths, held_out)
    left_out = known_places(paths, training)

    labels = answers.labels.copy()
    labels[left_out] = -1
    places = select(labels, answers.confidences, asked.balance)
    _require_some(asked, answers, labels, places)
    notes = _notes(answers, labels, places, len(left_out))

    _write_soft_labels(out.with_suffix(".parquet"), answers, places, asked.soft)
    _write_rows(out, answers, places)
    page = page_of(Selected(answers, labels, places, asked.balance, notes))
    write_pseudo_labels_page(out.with_suffix(".html"), page)

    print_notes(notes)
    found = {"videos": len(set(places)), "rows": len(places)}
    print_line(f"{pluralize(found['videos'], 'video')} of {len(paths)} in {pluralize(found['rows'], 'row')}")
    print_line(f"results: {out}  {out.with_suffix('.html')}")
    return found


def _known_paths(asked: Selection) -> tuple[set[str], set[str]]:
    """Return the paths of the training videos, and of the validation and test videos."""
    training = set()
    held_out = set()
    for source in asked.labelled:
        of_train, others = _paths_by_use(source)
        training |= of_train
        held_out |= others
    for source in asked.val:
        of_train, others = _paths_by_use(source)
        # A list without splits is one of validation videos.
        held_out |= others or of_train
    return training, held_out


def _paths_by_use(source: str) -> tuple[set[str], set[str]]:
    """Return the paths of a list's training rows, all of them where it has no splits, and those of the other rows."""
    training = set()
    others = set()
    for split, records in records_by_split(read_listing(source, "", require_labels=False), source).items():
        # A row that is passed over might be of a video that has to be refused.
        for fault in records.faults:
            raise InputError(fault.reason)
        paths = {record.path for record in records.found.records}
        if split in ("", "train"):
            training |= paths
        else:
            others |= paths
    return training, others


def _refuse_held_out(asked: Selection, paths: Sequence[str], held_out: set[str]) -> None:
    """Raise InputError where videos that a student is judged by are among the answers."""
    shared = known_places(paths, held_out)
    if shared:
        raise InputError(
            f"{asked.answers} has {pluralize(len(shared), 'video')} of the validation or test rows of "
            f"{', '.join([*asked.labelled, *asked.val])}, such as {paths[shared[0]]}; label a list without them: what "
            "a student has trained on says nothing about new videos"
        )


def _require_some(asked: Selection, answers: Answers, labels: np.ndarray, places: Sequence[int]) -> None:
    """Raise InputError where nothing is chosen."""
    if places:
        return
    if not (labels >= 0).any():
        raise InputError(
            f"nothing is left of {asked.answers}: each of its {pluralize(len(labels), 'video')} failed, or is in the "
            "labelled lists; label other videos"
        )
    raise InputError(
        f"no video of {asked.answers} has a confidence of {asked.balance.threshold:g} or more; the highest is "
        f"{answers.confidences[labels >= 0].max():.3g}; take a lower --threshold"
    )


def _notes(answers: Answers, labels: np.ndarray, places: Sequence[int], left_out: int) -> list[str]:
    """Return sentences on what is not in the list."""
    notes = []
    failed = int(np.count_nonzero(answers.labels < 0))
    if failed:
        notes.append(f"{pluralize(failed, 'video')} could not be read by the teacher")
    if left_out:
        notes.append(f"{pluralize(left_out, 'video')} left out, which the labelled lists hold already")
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
    write_list(out, rows, columns_in_use(rows, always=("label",)), {"confidence": confidences})


def _write_soft_labels(path: Path, answers: Answers, places: Sequence[int], soft: bool) -> None:
    """Write the probabilities beside the list, row by row; without them a file of an earlier selection goes."""
    if not soft:
        # Training would take it for the soft labels of the new list.
        path.unlink(missing_ok=True)
        return
    columns = {
        "path": pyarrow.array([answers.rows[place].path for place in places], pyarrow.string()),
        "probabilities": pyarrow.array(list(answers.soft_labels(places)), pyarrow.list_(pyarrow.float32())),
    }
    metadata = {NAMES_KEY: json.dumps(list(answers.label_names)).encode()}
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata(metadata), buffer, compression="zstd")
    replace_bytes(path, buffer.getvalue())
