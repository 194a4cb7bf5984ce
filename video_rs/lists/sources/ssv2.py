"""Something-Something v2: ``labels.json``, ``train.json``, ``validation.json``, and where there ``test.json``."""

import csv
import io
import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from video_rs.lists.rows import shortened
from video_rs.lists.sources.matching import ListedVideo
from video_rs.lists.sources.official import OfficialList, class_count_note, write_found
from video_rs.lists.sources.options import Ssv2Options
from video_rs.lists.sources.output import save_config, train_command
from video_rs.lists.text_files import read_text
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest

_PREFIX = "something-something-v2-"  # of the first release's files
_HOW_TO = "give the folder of the labels, with labels.json, train.json and validation.json"
_COMMENT = """\
R3D-RS-50 on Something-Something v2. Written by video-rs list ssv2.

Command:   video-rs train --cfg {path}
Hardware:  as kinetics_rs.yaml: its batch of 1024 clips wants about 32 large GPUs, or TRAIN.ACCUMULATION_STEPS. With a
           smaller TRAIN.BATCH_SIZE, lower SOLVER.BASE_LR in proportion.
Time:      not measured.
Expected:  not measured.

RANDOM_FLIP must be false: mirrored, "from left to right" shows "from right to left".
SAMPLING_RATE is 1: the videos have 12 frames a second and last about four seconds.
"""


def make_list(options: Ssv2Options) -> list[str]:
    """Write ``ssv2.csv``, ``labels.txt`` and the config ``ssv2.yaml``; return the lines of the report.

    Raises:
        InputError: an official file cannot be read, no listed video is there, or a file cannot be written.
    """
    names = read_classes(options.labels)
    videos = read_lists(options.labels, names)
    official = OfficialList("Something-Something v2", videos, names, num_classes=174)

    list_path = Path(options.output) / "ssv2.csv"
    config_path = list_path.with_suffix(".yaml")
    lines = write_found(official, options.videos, list_path, options.missing)
    lines.append(_save_config(config_path, list_path, options.base_config, len(names)))
    lines += class_count_note(official)
    lines.append(
        "DATA.RANDOM_FLIP must be false here, as some classes differ in left and right only; the config has it so"
    )
    return [*lines, *train_command(str(config_path))]


def _save_config(path: Path, list_path: Path, base: Path, num_classes: int) -> str:
    """Write the config beside the list; return the line of the report about it."""
    listed = list_path.resolve()
    values = {
        "OUTPUT_DIR": "runs/ssv2",
        "MODEL": {"NUM_CLASSES": num_classes},
        "DATA": {
            "TRAIN_LIST": str(listed),
            "VAL_LIST": str(listed),
            "LABEL_MAP": str(listed.with_name("labels.txt")),
            "SAMPLING_RATE": 1,
            "RANDOM_FLIP": False,
        },
    }
    return save_config(path, _COMMENT.format(path=path), base, values)


def read_classes(folder: str) -> list[str]:
    """Return the class names in the order of ``labels.json`` (``{"Opening something": "46"}``).

    Raises:
        InputError: the file cannot be read, or its numbers do not count from 0.
    """
    path = _file(folder, "labels.json")
    numbers = _read_json(path, dict)
    by_number = {str(number): _label(name) for name, number in numbers.items()}

    expected = list(map(str, range(len(numbers))))
    if not numbers or set(by_number) != set(expected):
        raise InputError(f"{path}: the class numbers are not 0 to {len(numbers) - 1}, each once; {_HOW_TO}")
    return [by_number[number] for number in expected]


def read_lists(folder: str, names: Sequence[str]) -> list[ListedVideo]:
    """Return the videos of train, validation (``val``) and, where there, test.

    A label is the template without its brackets. ``test-answers.csv`` tells the labels of test where it is there.

    Raises:
        InputError: a file cannot be read, or an entry of it.
    """
    known = dict.fromkeys(names)  # quick to look up, and in order
    videos = []
    for official_name, split in (("train", "train"), ("validation", "val")):
        path = _file(folder, f"{official_name}.json")
        for number, entry in enumerate(_read_json(path, list), 1):
            where = f"{path}, entry {number}"
            _require(entry, ("id", "template"), where)
            label = _known_label(str(entry["template"]), where, known)
            videos.append(_video(entry, label, split))

    # The labels of test were not published at first: its entries have no template.
    return videos + _read_test(folder, known)


def _read_test(folder: str, known: Collection[str]) -> list[ListedVideo]:
    """Return the videos of test, which have labels where there are answers."""
    path = _file(folder, "test.json")
    if not path.is_file():
        return []

    answers = _read_answers(_file(folder, "test-answers.csv"))
    videos = []
    for number, entry in enumerate(_read_json(path, list), 1):
        _require(entry, ("id",), f"{path}, entry {number}")
        video = _video(entry, "", "test")
        answer = answers.get(video.id, "")
        if answer:
            label = _known_label(answer, f"test-answers.csv, {video.id}", known)
            video = video._replace(label=label)
        videos.append(video)
    return videos


def _read_answers(path: Path) -> dict[str, str]:
    """Return id -> template of the lines ``ID;template``, which have no header."""
    if not path.is_file():
        return {}

    text = read_text(str(path), "answers", _HOW_TO)
    answers = {}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";")
    try:
        for row in reader:
            if len(row) > 1:
                answers[row[0].strip()] = row[1].strip()
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}; correct the line") from error
    return answers


def _require(entry: Any, keys: Sequence[str], where: str) -> None:
    """Raise InputError for an entry that does not have all ``keys``."""
    if not isinstance(entry, dict) or not set(keys) <= set(entry):
        got = shortened(json.dumps(entry))
        raise InputError(f"{where}: got {got}, expected {' and '.join(keys)}; {_HOW_TO}")


def _video(entry: dict, label: str, split: str) -> ListedVideo:
    """Return the video of an entry, whose file is named by its id."""
    name = str(entry["id"])
    return ListedVideo(name, label, split, (name,))


def _known_label(template: str, where: str, known: Collection[str]) -> str:
    """Return the label of a template.

    Raises:
        InputError: the label is no class.
    """
    label = _label(template)

    if label not in known:
        near = nearest(label, known)
        hint = f", nearest {near!r}" if near else ""
        raise InputError(
            f"{where}: template {shortened(template)!r} is none of the {len(known)} of labels.json{hint}; "
            "take all files from one release"
        )
    return label


def _label(template: str) -> str:
    """Return a template without its brackets: ``Opening [something]`` is ``Opening something``."""
    return template.replace("[", "").replace("]", "").strip()


def _file(folder: str, name: str) -> Path:
    """Return the path of an official file, as the first release or a later one calls it."""
    first_release = Path(folder, _PREFIX + name)
    if first_release.is_file():
        return first_release
    return Path(folder, name)


def _read_json(path: Path, kind: type) -> Any:
    """Return the value in a JSON file.

    Raises:
        InputError: the file cannot be read, or its value is not of that ``kind``.
    """
    text = read_text(str(path), "Something-Something file", _HOW_TO)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{path}, line {error.lineno}: {error.msg}; download it again") from error
    if not isinstance(value, kind):
        raise InputError(f"{path} holds a {type(value).__name__}, expected a {kind.__name__}; {_HOW_TO}")
    return value
