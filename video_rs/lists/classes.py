"""What labels mean: from the text in a list to class ids, and what is doubtful about the classes that come out."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from video_rs.lists.listing import Row, short
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import canonical, counted, nearest

# What stands for no label, as pandas and str() write it. No other capitals: "none" is a usual class of gestures.
MISSING = frozenset(("", "nan", "NaN", "None", "<NA>"))
# So many times as many classes as rows name is a mistyped id, or numbers that count something else.
MOST_CLASSES_FOR_ONE = 10
# Classes that a sentence names; of more it tells the number.
NAMED = 5

# pandas writes a column of integers in which some are missing as 0.0, 1.0.
_INTEGER = re.compile(r"([+-]?\d{1,18})(\.0*)?", re.ASCII)


@dataclass(frozen=True)
class Classes:
    """How the labels of a list become class ids.

    Attributes:
        names: of the classes; integer labels are named by their digits.
        by_name: canonical name -> class id; None where labels are class ids.
        source: the list, for messages.
        missing: labels that stand for none.
    """

    names: tuple[str, ...]
    by_name: Mapping[str, int] | None
    source: str
    missing: frozenset[str] = MISSING

    @classmethod
    def of(
        cls,
        all_rows: Sequence[Row],
        rows: Sequence[Row],
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
        missing = _missing_in(all_rows)
        words = _words(all_rows, missing)
        integers = {word for word in words if class_id(word) is not None}
        if names is not None:
            known = _numbered(names, source)
            by_name = integers != words or _renumbers(known, integers)
            names = tuple(names)
        else:
            _refuse_mixture(all_rows, integers, words, source)
            by_name = integers != words
            names = _names_of(all_rows, rows, missing) if by_name else _digits(all_rows, integers, num_classes, source)
            known = _numbered(names, source)
        if num_classes is not None and len(names) > num_classes:
            raise InputError(
                f"{source}: {counted(len(names), 'class name')} for "
                f"{counted(num_classes, 'class', 'classes')}; give the number of classes as "
                f"{len(names)}, or a label map with {counted(num_classes, 'name')}"
            )
        # What is a known name is a label, whatever it looks like.
        return cls(names, known if by_name else None, source, missing - set(known))

    def ids(self, row: Row, required: bool) -> tuple[int, ...]:
        """Return the class ids of a row, without repetitions, in the order written.

        Raises:
            InputError: a label is not known, or missing although it is ``required``.
        """
        tokens = label_tokens(row.label)
        if not self.missing.isdisjoint(tokens) or not tokens:
            self._refuse_missing(row, tokens, required)
            return ()
        find = self._id if self.by_name is None else self._id_of_name
        return tuple(dict.fromkeys(find(token, row) for token in tokens))

    def order_note(self, rows: Iterable[Row]) -> str:
        """Return a sentence on numbers in ``rows`` that stand for classes with names; nothing where none do."""
        own_names = tuple(map(str, range(len(self.names))))
        if self.by_name is not None or self.names == own_names or not _words(rows, self.missing):
            return ""
        order = [f"{index} {name}" for index, name in enumerate(self.names)]
        if len(order) > NAMED + 1:
            order[NAMED:-1] = ["…"]
        return f"{self.source}: its labels are numbers, taken in the order of the class names: {', '.join(order)}"

    def _refuse_missing(self, row: Row, tokens: Sequence[str], required: bool) -> None:
        """Raises InputError, unless the row has no label at all and needs none."""
        alone = len(tokens) < 2
        if alone and not required:
            return
        token = "".join(tokens)
        if alone and token:
            raise InputError(
                f"{row.where(self.source)}: label {short(row.label)!r} stands for a missing one; fill it in, remove "
                "the row, or name the class in a label map"
            )
        self._refuse(row, row.label, "a label, or several with ; between them", "fill it in")

    def _id(self, token: str, row: Row) -> int:
        index = class_id(token)
        if not 0 <= index < len(self.names):
            allowed = f"a class id from 0 to {max(0, len(self.names) - 1)}"
            self._refuse(row, token, allowed, "correct it or the number of classes")
        return index

    def _id_of_name(self, token: str, row: Row) -> int:
        found = self.by_name.get(token, self.by_name.get(str(class_id(token))))
        if found is None:
            near = nearest(token, self.names)
            allowed = f"one of the {len(self.names)} known names" + (f", nearest {near!r}" if near else "")
            self._refuse(row, token, allowed, "correct it, or add it to the label map or the train rows")
        return found

    def _refuse(self, row: Row, got: str, allowed: str, then: str) -> None:
        raise InputError(f"{row.where(self.source)}: label {short(got)!r}, expected {allowed}; {then}")


def label_tokens(label: str) -> list[str]:
    """Return the labels in a cell, those between ``;``, as they are compared."""
    return [canonical(token) for token in label.split(";")] if label else []


def class_id(token: str) -> int | None:
    """Return the number that a label writes, such as ``3`` or ``3.0``; None where it writes none."""
    found = _INTEGER.fullmatch(token)
    return int(found[1]) if found else None


def empty_classes_note(present: Collection[int], names: Sequence[str], what: str) -> str:
    """Return a sentence on the classes that have no ``what``, and what to do; nothing where all have some."""
    absent = [index for index in range(len(names)) if index not in present]
    if not absent or not present:
        return ""

    numbers = list(map(str, range(len(names))))
    are_numbers = list(names) == numbers
    some = ", ".join(names[index] if are_numbers else repr(names[index]) for index in absent[:NAMED])
    if len(absent) == 1:
        found = f"class {some} has no {what}"
    else:
        found = f"{len(absent)} of {len(names)} classes have no {what}: {some}{', …' if len(absent) > NAMED else ''}"

    if not are_numbers:
        return f"{found}; add some, or take it out of what names it, the label map or rows"
    used = [names[index] for index in sorted(present)]
    lines = ", ".join(used[:NAMED]) + (", …" if len(used) > NAMED else "")
    remedy = f"number them from 0 without gaps, or give a label map (DATA.LABEL_MAP) with the lines {lines}"
    if absent == [0]:
        return f"{found}; do your labels start at 1? Then {remedy}"
    return f"{found}; if these numbers are no class ids from 0 on, {remedy}"


def alike_names_notes(names: Sequence[str]) -> list[str]:
    """Return a sentence on each group of names that differ in capitals, blanks, signs or invisible letters alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        letters = "".join(filter(str.isalnum, name.casefold()))
        if letters:  # of names made of signs, such as emoji, none looks like another
            groups.setdefault(letters, []).append(name)
    return [f"class names look alike: {', '.join(map(repr, group))}" for group in groups.values() if len(group) > 1]


def _missing_in(rows: Sequence[Row]) -> frozenset[str]:
    """Return which labels are none: a folder is called what it is called."""
    return frozenset(("",)) if rows and rows[0].is_of_folder else MISSING


def _words(rows: Iterable[Row], missing: frozenset[str]) -> set[str]:
    """Return all labels in the rows, but for the missing ones."""
    return {token for label in {row.label for row in rows} for token in label_tokens(label)} - missing


def _numbered(names: Sequence[str], source: str) -> dict[str, int]:
    """Return canonical name -> class id. InputError where two names are one in another Unicode form."""
    known: dict[str, int] = {}
    for index, name in enumerate(names):
        if known.setdefault(canonical(name), index) != index:
            raise InputError(
                f"{source}: the class names {known[canonical(name)]} and {index} are both {canonical(name)!r}, in two "
                "Unicode forms or with a blank at the end; make them one"
            )
    return known


def _renumbers(known: Mapping[str, int], integers: set[str]) -> bool:
    """Return whether some integers are names of other classes than their own number, and so cannot be class ids."""
    spelt = integers | {str(class_id(word)) for word in integers}
    return any(class_id(name) != index for name, index in known.items() if name in spelt)


def _names_of(all_rows: Sequence[Row], rows: Sequence[Row], missing: frozenset[str]) -> tuple[str, ...]:
    """Return the sorted names of the train rows; of the chosen rows in a list without any."""
    training = [row for row in all_rows if row.split == "train"]
    return tuple(sorted(_words(training, missing) or _words(rows, missing)))


def _digits(rows: Sequence[Row], integers: set[str], num_classes: int | None, source: str) -> tuple[str, ...]:
    """Return one name for each class id. InputError where rows name next to none of them."""
    if num_classes is None:
        named = sorted({number for number in map(class_id, integers) if number >= 0})
        num_classes = named[-1] + 1 if named else 0
        if num_classes > MOST_CLASSES_FOR_ONE * len(named):
            _refuse_gaps(rows, named, source)
    return tuple(map(str, range(num_classes)))


def _refuse_gaps(rows: Sequence[Row], named: Sequence[int], source: str) -> None:
    highest = named[-1]
    row = next(row for row in rows if highest in map(class_id, label_tokens(row.label)))
    some = ", ".join(map(str, named if len(named) <= NAMED else [*named[: NAMED - 1], "…", highest]))
    raise InputError(
        f"{row.where(source)}: class id {highest} makes {highest + 1} classes, of which the rows name {len(named)} "
        f"({some}); correct it, or if it is meant give MODEL.NUM_CLASSES or a label map with a line for each class"
    )


def _refuse_mixture(rows: Sequence[Row], integers: set[str], words: set[str], source: str) -> None:
    """Raises InputError where some labels are ids: one misspelt id would silently turn all of them into names."""
    names = words - integers
    if integers and names:
        row = next(row for row in rows if not names.isdisjoint(label_tokens(row.label)))
        raise InputError(
            f"{row.where(source)}: label {short(row.label)!r} is not an integer, but others are (such as "
            f"{min(integers)}); use only class ids, only names, or give a label map"
        )
