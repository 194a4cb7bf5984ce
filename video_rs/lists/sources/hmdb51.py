"""HMDB51: the official ``CLASS_test_split{1,2,3}.txt`` (``NAME.avi 1``: 1 train, 2 test, 0 not used)."""

from collections.abc import Iterator
from pathlib import Path

from video_rs.lists.listing import read_text, short
from video_rs.lists.sources.coverage import Listed
from video_rs.lists.sources.names import stem_of
from video_rs.runtime.errors import InputError

_SPLITS = {"1": "train", "2": "val", "0": ""}
_HOW_TO = "give the folder testTrainMulti_7030_splits, with files like brush_hair_test_split1.txt"


def read_lists(folder: str, split: int) -> tuple[list[Listed], list[str]]:
    """The videos of split 1, 2 or 3, and the class names, sorted: the official test videos are ``val``.

    Raises InputError, with the line number.
    """
    ending = f"_test_split{split}.txt"
    files = sorted(Path(folder).glob("*" + ending)) if Path(folder).is_dir() else []
    if not files:
        raise InputError(f"{folder} has no files *{ending}; {_HOW_TO}")
    names = [file.name.removesuffix(ending) for file in files]
    return [item for file, name in zip(files, names, strict=True) for item in _read(file, name)], names


def _read(path: Path, label: str) -> Iterator[Listed]:
    for number, line in enumerate(read_text(str(path), "HMDB51 list", _HOW_TO).splitlines(), 1):
        if not line.strip():
            continue
        *name, code = line.rsplit(None, 1)  # a name may hold spaces
        if not name or code not in _SPLITS:
            raise InputError(
                f"{path}, line {number}: got {short(line.strip())!r}, expected 'NAME.avi CODE' with the code "
                "1 (train), 2 (test) or 0 (not used); correct the line"
            )
        stem = stem_of(name[0].strip())
        yield Listed(f"{label}/{stem}", label, _SPLITS[code], (stem,))
