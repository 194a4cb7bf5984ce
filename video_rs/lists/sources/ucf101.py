"""UCF101: the official ``classInd.txt``, ``trainlist0N.txt`` and ``testlist0N.txt``."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from video_rs.lists.listing import read_text, short
from video_rs.lists.sources.coverage import Listed
from video_rs.lists.sources.names import stem_of
from video_rs.runtime.errors import InputError

_HOW_TO = "give the folder ucfTrainTestlist, with classInd.txt, trainlist01.txt and testlist01.txt"


def read_classes(folder: str) -> list[str]:
    """The class names in the order of ``classInd.txt`` (``1 ApplyEyeMakeup``). Raises InputError."""
    path = Path(folder, "classInd.txt")
    names = []
    for where, line in _lines(path):
        number, _, name = line.partition(" ")
        if number != str(len(names) + 1) or not name.strip():
            raise InputError(f"{where}: got {short(line)!r}, expected '{len(names) + 1} NAME'; correct the line")
        names.append(name.strip())
    if not names:
        raise InputError(f"{path} is empty; {_HOW_TO}")
    return names


def read_lists(folder: str, split: int, names: list[str]) -> list[Listed]:
    """The videos of split 1, 2 or 3: its train list is ``train``, its test list is ``val``. Raises InputError."""
    listed = []
    for part, ours in (("train", "train"), ("test", "val")):
        for where, line in _lines(Path(folder, f"{part}list{split:02d}.txt")):
            listed.append(_listed(line, where, ours, names))
    return listed


def _listed(line: str, where: str, split: str, names: list[str]) -> Listed:
    """``CLASS/v_CLASS_g01_c01.avi``, in the train list with the class's number from 1."""
    path, _, number = line.partition(" ")
    label = PurePosixPath(path).parent.name
    if label not in names:
        raise InputError(f"{where}: got {short(line)!r}, expected CLASS/VIDEO with a class of classInd.txt; correct it")
    if number.strip() not in ("", str(names.index(label) + 1)):
        raise InputError(
            f"{where}: class number {short(number.strip())!r}, but classInd.txt has {names.index(label) + 1} for "
            f"{label}; take all lists from one download"
        )
    return Listed(stem_of(path), label, split, (stem_of(path),))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(read_text(str(path), "UCF101 list", _HOW_TO).splitlines(), 1):
        if line.strip():
            yield f"{path}, line {number}", line.strip()
