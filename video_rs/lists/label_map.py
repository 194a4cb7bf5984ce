"""Label maps: text files with one class name a line, whose first line names class 0."""

import os

from video_rs.lists.text_files import lines_of, read_text
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import canonical


def read_label_map(path: str) -> tuple[str, ...]:
    """Return the class names of a label map, in the order of the class ids.

    Raises:
        InputError: the file cannot be read, names no class, names a class twice, or has an empty line between names.
    """
    text = read_text(
        os.fspath(path), "label map", "give a text file with one class name a line, or none (DATA.LABEL_MAP '')"
    )

    first_line: dict[str, int] = {}
    # Editors end a file with blank lines; between two names a blank line would be a class without a name.
    for number, line in enumerate(lines_of(text.rstrip()), 1):
        name = canonical(line)
        if not name:
            raise InputError(f"{path}, line {number}: empty; write one class name a line, with no gaps")
        if name in first_line:
            raise InputError(f"{path}, line {number}: {name!r} stands on line {first_line[name]} too; remove one")
        first_line[name] = number

    if not first_line:
        raise InputError(f"label map {path} is empty; write one class name a line")
    return tuple(first_line)
