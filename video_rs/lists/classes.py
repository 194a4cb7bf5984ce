"""What labels mean: from the text in a list to class ids."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from video_rs.lists.rows import ListRow, shortened
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import canonical, nearest, pluralize

# What stands for no label, as pandas and str() write it. No other capitals: "none" is a usual class of gestures.
MISSING = frozenset(("", "nan", "NaN", "None", "<NA>"))
# The name of a class folder is always a label.
MISSING_FOLDER = frozenset(("",))
# So many times as many classes as rows name is a mistyped id, or numbers that count something else.
MOST_CLASSES_FOR_ONE = 10
# Classes that a sentence names; of more classes it states the number.
NAMED = 5

# pandas writes a column of integers in which some are missing as 0.0, 1.0.
_INTEGER = re.compile(r"([+-]?\d{1,18})(\.0*)?", re.ASCII)


@dataclass(frozen=True)
class Classes:
    """How the labels of a list become class ids.

    Attributes:
        names: of the classes; integer labels are named by their digits.
        ids_by_name: canonical name -> class id; None where labels are class ids.
        source: the list, for messages.
        missing: labels that stand for none.
    """

    names: tuple[str, ...]
    ids_by_name: Mapping[str, int] | None
    source: str
    missing: frozenset[str] = MISSING

    @classmethod
    def of(
        cls,
        all_rows: Sequence[ListRow],
        rows: Sequence[ListRow],
        names: Sequence[str] | None,
        num_classes: int | None,
        source: str,
    ) -> "Classes":
        """Return the classes that ``names`` give, or where they are None those that the list gives by itself.

        Args:
            all_rows: of the list.
            rows: of the split.
            names: of the classes, or None.
            num_classes: how many there are; None: as many as there are names, or as the highest id says.
            source: the list.

        Raises:
            InputError: names and ids are mixed, or there are too many of them.
        """
        # All rows count, not only those of the split: both splits must agree on what their labels mean.
        missing = MISSING
        if all(row.is_of_folder for row in all_rows):
            missing = MISSING_FOLDER
        labels = _distinct_labels(all_rows, names or ())
        integers = set()
        for label in labels:
            if class_id(label) is not None:
                integers.add(label)

        if names is not None:
            known = _ids_by_name(names, source)
            are_names = integers != labels or _renumbers(known, integers)
        else:
            _refuse_mixture(all_rows, integers, labels, source)
            are_names = integers != labels
            if are_names:
                names = _names_in_rows(all_rows, rows)
            else:
                names = _names_of_ids(all_rows, integers, num_classes, source)
            known = _ids_by_name(names, source)

        if num_classes is not None and len(names) > num_classes:
            raise InputError(
                f"{source}: {pluralize(len(names), 'class name')} for "
                f"{pluralize(num_classes, 'class', 'classes')}; give the number of classes as "
                f"{len(names)}, or a label map with {pluralize(num_classes, 'name')}"
            )

        # What is a known name is a label, even if it looks like a missing one.
        return cls(tuple(names), known if are_names else None, source, missing - set(known))

    def ids(self, row: ListRow, required: bool) -> tuple[int, ...]:
        """Return the class ids of a row, without repetitions, in the order written.

        Raises:
            InputError: a label is not known, or missing although it is ``required``.
        """
        labels = split_labels(row.label)
        if not labels or not self.missing.isdisjoint(labels):
            self._refuse_missing(row, labels, required)
            return ()

        find = self._id_of_name
        if self.ids_by_name is None:
            find = self._checked_id
        ids = [find(label, row) for label in labels]

        # A dict keeps the order of the list and drops what comes twice.
        return tuple(dict.fromkeys(ids))

    def order_note(self, rows: Iterable[ListRow]) -> str:
        """Return a sentence on numbers in ``rows`` that stand for classes with names; nothing where none do."""
        digits = tuple(map(str, range(len(self.names))))
        if self.ids_by_name is not None or self.names == digits or not _distinct_labels(rows):
            return ""

        # Of many classes the sentence names the first ones and the last one.
        order = [f"{index} {name}" for index, name in enumerate(self.names)]
        if len(order) > NAMED + 1:
            order[NAMED:-1] = ["…"]
        return f"{self.source}: its labels are numbers, taken in the order of the class names: {', '.join(order)}"

    def _refuse_missing(self, row: ListRow, labels: Sequence[str], required: bool) -> None:
        """Raise InputError, unless the row has no label at all and needs none."""
        # A missing label beside others is a mistake even where rows need no label.
        has_others = len(labels) > 1
        if not has_others and not required:
            return

        written = "".join(labels)
        if written and not has_others:
            raise InputError(
                f"{row.where(self.source)}: label {shortened(row.label)!r} stands for a missing one; fill it in, "
                "remove the row, or name the class in a label map"
            )
        self._refuse(row, row.label, "a label, or several with ; between them", "fill it in")

    def _checked_id(self, label: str, row: ListRow) -> int:
        """Return the class id that a label writes."""
        index = class_id(label)
        if not 0 <= index < len(self.names):
            allowed = f"a class id from 0 to {max(0, len(self.names) - 1)}"
            self._refuse(row, label, allowed, "correct it or the number of classes")
        return index

    def _id_of_name(self, label: str, row: ListRow) -> int:
        """Return the id of the class that a label names; ``3.0`` is the class called ``3``."""
        index = self.ids_by_name.get(label)
        number = class_id(label)
        if index is None and number is not None:
            index = self.ids_by_name.get(str(number))
        if index is None:
            allowed = f"one of the {len(self.names)} known names"
            near = nearest(label, self.names)
            if near:
                allowed += f", nearest {near!r}"
            self._refuse(row, label, allowed, "correct it, or add it to the label map or the train rows")
        return index

    def _refuse(self, row: ListRow, got: str, allowed: str, next_step: str) -> None:
        raise InputError(f"{row.where(self.source)}: label {shortened(got)!r}, expected {allowed}; {next_step}")


def split_labels(cell: str) -> list[str]:
    """Return the labels in a cell, those between ``;``, as they are compared."""
    if not cell:
        return []
    return [canonical(label) for label in cell.split(";")]


def class_id(label: str) -> int | None:
    """Return the number that a label writes, such as ``3`` or ``3.0``; None where it writes none."""
    match = _INTEGER.fullmatch(label)
    if match is None:
        return None
    return int(match[1])


def _distinct_labels(rows: Iterable[ListRow], names: Iterable[str] = ()) -> set[str]:
    """Return all labels in the rows but those that stand for none; what is among the ``names`` is a label."""
    known = set(map(canonical, names))
    labels: set[str] = set()
    for cell, is_of_folder in {(row.label, row.is_of_folder) for row in rows}:
        missing = MISSING_FOLDER if is_of_folder else MISSING
        labels.update(set(split_labels(cell)) - (missing - known))
    return labels


def _ids_by_name(names: Sequence[str], source: str) -> dict[str, int]:
    """Return canonical name -> class id.

    Raises:
        InputError: two names are one name in two Unicode forms.
    """
    known: dict[str, int] = {}
    for index, name in enumerate(names):
        first = known.setdefault(canonical(name), index)
        if first != index:
            raise InputError(
                f"{source}: the class names {first} and {index} are both {canonical(name)!r}, in two "
                "Unicode forms or with a blank at the end; make them one"
            )
    return known


def _renumbers(known: Mapping[str, int], integers: set[str]) -> bool:
    """Return whether some integers name classes with other ids than their own number, and so cannot be class ids."""
    # 3.0 may be the class that is called 3.
    spelt = set(integers)
    for label in integers:
        spelt.add(str(class_id(label)))

    for name, index in known.items():
        if name in spelt and class_id(name) != index:
            return True
    return False


def _names_in_rows(all_rows: Sequence[ListRow], rows: Sequence[ListRow]) -> tuple[str, ...]:
    """Return the sorted names of the train rows; of the chosen rows in a list without any."""
    training = [row for row in all_rows if row.split == "train"]
    names = _distinct_labels(training)
    if not names:
        names = _distinct_labels(rows)
    return tuple(sorted(names))


def _names_of_ids(rows: Sequence[ListRow], integers: set[str], num_classes: int | None, source: str) -> tuple[str, ...]:
    """Return one name for each class id, its digits.

    Raises:
        InputError: the highest id makes many more classes than rows name.
    """
    if num_classes is None:
        # Negative ids are refused later, with the row that has them.
        numbers = set(map(class_id, integers))
        named = sorted(number for number in numbers if number >= 0)

        num_classes = 0
        if named:
            num_classes = named[-1] + 1
        if num_classes > MOST_CLASSES_FOR_ONE * len(named):
            _refuse_gaps(rows, named, source)
    return tuple(map(str, range(num_classes)))


def _refuse_gaps(rows: Sequence[ListRow], named: Sequence[int], source: str) -> None:
    """Raise InputError for the row with the highest of the class ids ``named``."""
    highest = named[-1]
    some = list(map(str, named))
    if len(named) > NAMED:
        some[NAMED - 1 : -1] = ["…"]

    for row in rows:
        if highest in map(class_id, split_labels(row.label)):
            raise InputError(
                f"{row.where(source)}: class id {highest} makes {highest + 1} classes, of which the rows name "
                f"{len(named)} ({', '.join(some)}); correct it, or if it is meant give MODEL.NUM_CLASSES or a label "
                "map with a line for each class"
            )


def _refuse_mixture(rows: Sequence[ListRow], integers: set[str], labels: set[str], source: str) -> None:
    """Raise InputError where some labels are ids: one misspelt id would silently turn all of them into names."""
    names = labels - integers
    if not integers or not names:
        return

    for row in rows:
        if not names.isdisjoint(split_labels(row.label)):
            raise InputError(
                f"{row.where(source)}: label {shortened(row.label)!r} is not an integer, but others are (such as "
                f"{min(integers)}); use only class ids, only names, or give a label map"
            )
