"""HMDB51: the official ``CLASS_test_split{1,2,3}.txt`` (``NAME.avi 1``: 1 train, 2 test, 0 not used)."""

from pathlib import Path

from video_rs.lists.rows import shortened
from video_rs.lists.sources.matching import ListedVideo
from video_rs.lists.sources.official import OfficialList, class_count_note, write_found
from video_rs.lists.sources.options import SplitOptions
from video_rs.lists.sources.output import train_command
from video_rs.lists.sources.video_index import stem_of
from video_rs.lists.text_files import lines_of, read_text
from video_rs.runtime.errors import InputError

_SPLIT_OF_CODE = {"1": "train", "2": "val", "0": ""}
_HOW_TO = "give the folder testTrainMulti_7030_splits, with files like brush_hair_test_split1.txt"


def make_list(options: SplitOptions) -> list[str]:
    """Write ``hmdb51_splitN.csv`` and ``labels.txt``; return the lines of the report.

    Raises:
        InputError: an official list cannot be read, no listed video is there, or a file cannot be written.
    """
    videos, names = read_lists(options.lists, options.split)
    official = OfficialList("HMDB51", videos, names, num_classes=51, similar_names=True)
    path = Path(options.output) / f"hmdb51_split{options.split}.csv"
    lines = write_found(official, options.videos, path, options.missing)
    return [*lines, *class_count_note(official), *train_command("finetune/image_weights.yaml", path)]


def read_lists(folder: str, split: int) -> tuple[list[ListedVideo], list[str]]:
    """Return the videos of split 1, 2 or 3, and the sorted class names; the official test videos are ``val``.

    Raises:
        InputError: there are no lists, or a line cannot be read; the message has its number.
    """
    ending = f"_test_split{split}.txt"
    files = []
    if Path(folder).is_dir():
        files = sorted(Path(folder).glob("*" + ending))
    if not files:
        raise InputError(f"{folder} has no files *{ending}; {_HOW_TO}")

    names = []
    videos = []
    for file in files:
        name = file.name.removesuffix(ending)
        names.append(name)
        videos += _read_list(file, name)
    return videos, names


def _read_list(path: Path, label: str) -> list[ListedVideo]:
    """Return the videos of one class."""
    text = read_text(str(path), "HMDB51 list", _HOW_TO)
    videos = []
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip():
            continue

        *name, code = line.rsplit(None, 1)  # a name may hold spaces
        if not name or code not in _SPLIT_OF_CODE:
            raise InputError(
                f"{path}, line {number}: got {shortened(line.strip())!r}, expected 'NAME.avi CODE' with the code "
                "1 (train), 2 (test) or 0 (not used); correct the line"
            )
        stem = stem_of(name[0].strip())
        videos.append(ListedVideo(f"{label}/{stem}", label, _SPLIT_OF_CODE[code], (stem,)))
    return videos
