"""UCF101: the official ``classInd.txt``, ``trainlist0N.txt`` and ``testlist0N.txt``."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from video_rs.lists.rows import shortened
from video_rs.lists.sources.matching import ListedVideo
from video_rs.lists.sources.official import OfficialList, class_count_note, write_found
from video_rs.lists.sources.options import SplitOptions
from video_rs.lists.sources.output import train_command
from video_rs.lists.sources.video_index import stem_of
from video_rs.lists.text_files import lines_of, read_text
from video_rs.runtime.errors import InputError

_HOW_TO = "give the folder ucfTrainTestlist, with classInd.txt, trainlist01.txt and testlist01.txt"


def make_list(options: SplitOptions) -> list[str]:
    """Write ``ucf101_splitN.csv`` and ``labels.txt``; return the lines of the report.

    Raises:
        InputError: an official list cannot be read, no listed video is there, or a file cannot be written.
    """
    names = read_classes(options.lists)
    videos = read_lists(options.lists, options.split, names)

    official = OfficialList("UCF101", videos, names, num_classes=101, similar_names=True)
    path = Path(options.output) / f"ucf101_split{options.split}.csv"
    lines = write_found(official, options.videos, path, options.missing)
    return [*lines, *class_count_note(official), *train_command("finetune/image_weights.yaml", path)]


def read_classes(folder: str) -> list[str]:
    """Return the class names in the order of ``classInd.txt`` (``1 ApplyEyeMakeup``).

    Raises:
        InputError: the file cannot be read, or its numbers do not count from 1.
    """
    path = Path(folder, "classInd.txt")

    names = []
    for where, line in _lines(path):
        number, _, name = line.partition(" ")
        if number != str(len(names) + 1) or not name.strip():
            raise InputError(f"{where}: got {shortened(line)!r}, expected '{len(names) + 1} NAME'; correct the line")
        names.append(name.strip())

    if not names:
        raise InputError(f"{path} is empty; {_HOW_TO}")
    return names


def read_lists(folder: str, split: int, names: list[str]) -> list[ListedVideo]:
    """Return the videos of split 1, 2 or 3: the official train list is ``train``, the test list is ``val``.

    Raises:
        InputError: a list cannot be read, or a line of it; the message has its number.
    """
    videos = []
    for official_name, split_name in (("train", "train"), ("test", "val")):
        path = Path(folder, f"{official_name}list{split:02d}.txt")
        for where, line in _lines(path):
            videos.append(_video(line, where, split_name, names))
    return videos


def _video(line: str, where: str, split: str, names: list[str]) -> ListedVideo:
    """Return the video of a line ``CLASS/v_CLASS_g01_c01.avi``; the train list adds the number of the class."""
    path, _, number = line.partition(" ")
    label = PurePosixPath(path).parent.name
    if label not in names:
        raise InputError(
            f"{where}: got {shortened(line)!r}, expected CLASS/VIDEO with a class of classInd.txt; correct it"
        )

    expected = str(names.index(label) + 1)
    if number.strip() not in ("", expected):
        raise InputError(
            f"{where}: class number {shortened(number.strip())!r}, but classInd.txt has {expected} for "
            f"{label}; take all lists from one download"
        )
    return ListedVideo(stem_of(path), label, split, (stem_of(path),))


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Give the place and the text of each line that is not blank."""
    text = read_text(str(path), "UCF101 list", _HOW_TO)
    for number, line in enumerate(lines_of(text), 1):
        if line.strip():
            yield f"{path}, line {number}", line.strip()
