"""Something-Something v2: ``labels.json``, ``train.json``, ``validation.json``, and where there ``test.json``."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from video_rs.lists.listing import read_text, short
from video_rs.lists.sources.coverage import Listed
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest

_PREFIX = "something-something-v2-"  # of the first release's files
_HOW_TO = "give the folder of the labels, with labels.json, train.json and validation.json"


def read_classes(folder: str) -> list[str]:
    """The class names in the order of ``labels.json`` (``{"Opening something": "46"}``). Raises InputError."""
    path = _file(folder, "labels.json")
    numbers = _json(path, dict)
    by_number = {str(number): _plain(name) for name, number in numbers.items()}
    wanted = [str(i) for i in range(len(numbers))]
    if not numbers or set(by_number) != set(wanted):
        raise InputError(f"{path}: the class numbers are not 0 to {len(numbers) - 1}, each once; {_HOW_TO}")
    return [by_number[number] for number in wanted]


def read_lists(folder: str, names: Sequence[str]) -> list[Listed]:
    """The videos of train, validation (``val``) and, where there, test, whose labels ``test-answers.csv`` may tell.

    A label is the template without its brackets. Raises InputError.
    """
    known, listed = dict.fromkeys(names), []
    for part, split in (("train", "train"), ("validation", "val")):
        path = _file(folder, f"{part}.json")
        listed += [_listed(entry, f"{path}, entry {i}", split, known) for i, entry in enumerate(_json(path, list), 1)]
    return listed + list(_test(folder, known))


def _test(folder: str, known: dict[str, None]) -> Iterator[Listed]:
    path = _file(folder, "test.json")
    if not path.is_file():
        return
    answers = _answers(_file(folder, "test-answers.csv"))
    for i, entry in enumerate(_json(path, list), 1):
        item = _listed(entry, f"{path}, entry {i}", "test", known, labelled=False)
        label = answers.get(item.id, "")
        yield item._replace(label=_known(label, f"test-answers.csv, {item.id}", known) if label else "")


def _answers(path: Path) -> dict[str, str]:
    """``ID;template`` lines, without a header."""
    if not path.is_file():
        return {}
    rows = csv.reader(io.StringIO(read_text(str(path), "answers", _HOW_TO), newline=""), delimiter=";")
    return {row[0].strip(): row[1].strip() for row in rows if len(row) > 1}


def _listed(entry: Any, where: str, split: str, known: dict[str, None], labelled: bool = True) -> Listed:
    wanted = {"id", "template"} if labelled else {"id"}
    if not isinstance(entry, dict) or not wanted <= set(entry):
        raise InputError(f"{where}: got {short(json.dumps(entry))}, expected {' and '.join(sorted(wanted))}; {_HOW_TO}")
    name = str(entry["id"])
    return Listed(name, _known(str(entry["template"]), where, known) if labelled else "", split, (name,))


def _known(template: str, where: str, known: dict[str, None]) -> str:
    label = _plain(template)
    if label not in known:
        near = nearest(label, known)
        hint = f", nearest {near!r}" if near else ""
        raise InputError(
            f"{where}: template {short(template)!r} is none of the {len(known)} of labels.json{hint}; "
            "take all files from one release"
        )
    return label


def _plain(template: str) -> str:
    return template.replace("[", "").replace("]", "").strip()


def _file(folder: str, name: str) -> Path:
    first_release = Path(folder, _PREFIX + name)
    return first_release if first_release.is_file() else Path(folder, name)


def _json(path: Path, kind: type) -> Any:
    try:
        value = json.loads(read_text(str(path), "Something-Something file", _HOW_TO))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: {error.msg}; download it again") from error
    if not isinstance(value, kind):
        raise InputError(f"{path} holds a {type(value).__name__}, expected a {kind.__name__}; {_HOW_TO}")
    return value
