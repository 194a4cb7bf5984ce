"""Sentences on what is doubtful about the classes of a data set."""

from collections.abc import Collection, Sequence

from video_rs.lists.classes import NAMED
from video_rs.runtime.wording import first_names


def empty_classes_note(present: Collection[int], names: Sequence[str], what: str) -> str:
    """Return a sentence on the classes that have no ``what``, and what to do; nothing where all have some.

    Args:
        present: ids of the classes that have some.
        names: of all classes.
        what: such as "training rows".
    """
    absent = sorted(set(range(len(names))) - set(present))
    if not absent or not present:
        return ""

    # Class ids are named by their digits, and need no quotes.
    digits = list(map(str, range(len(names))))
    are_numbers = list(names) == digits
    some = [names[index] for index in absent]
    if not are_numbers:
        some = list(map(repr, some))

    if len(absent) == 1:
        found = f"class {some[0]} has no {what}"
        removal = "remove this class from the label map or the rows that name it"
    else:
        found = f"{len(absent)} of {len(names)} classes have no {what}: {first_names(some, NAMED)}"
        removal = "remove these classes from the label map or the rows that name them"
    if not are_numbers:
        return f"{found}; add some, or {removal}"

    # Numbers that leave classes out are often no class ids, or count from 1.
    used = [names[index] for index in sorted(present)]
    lines = first_names(used, NAMED)
    remedy = f"number them from 0 without gaps, or give a label map (DATA.LABEL_MAP) with the lines {lines}"
    if absent == [0]:
        return f"{found}; do your labels start at 1? Then {remedy}"
    return f"{found}; if these numbers are no class ids from 0 on, {remedy}"


def alike_names_notes(names: Sequence[str]) -> list[str]:
    """Return a sentence on each group of names that differ in capitals, blanks, signs or invisible letters alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        letters = "".join(filter(str.isalnum, name.casefold()))
        # Names that are made of signs, such as emoji, do not look alike.
        if letters:
            groups.setdefault(letters, []).append(name)

    notes = []
    for group in groups.values():
        if len(group) > 1:
            notes.append(f"class names look alike: {', '.join(map(repr, group))}")
    return notes
