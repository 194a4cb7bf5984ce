"""Kinetics-400, -600 and -700: the official CSVs (``label,youtube_id,time_start,time_end,split[,is_cc]``)."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from video_rs.lists.rows import SPLIT_WORDS, shortened
from video_rs.lists.sources.matching import ListedVideo
from video_rs.lists.sources.official import OfficialList, class_count_note, write_found
from video_rs.lists.sources.options import KineticsOptions
from video_rs.lists.sources.output import train_command
from video_rs.lists.sources.video_index import normalised
from video_rs.lists.text_files import read_text
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest

_COLUMNS = ("youtube_id", "time_start", "time_end", "split")
_HOW_TO = "give an official CSV (label,youtube_id,time_start,time_end,split)"


class Segment(NamedTuple):
    """One row of an official CSV.

    Attributes:
        where: place of the row, for messages.
        label: class name; "" where the row has none.
        youtube_id: of the video.
        start, end: whole seconds.
        split: ``train``, ``val`` or ``test``.
    """

    where: str
    label: str
    youtube_id: str
    start: int
    end: int
    split: str


def make_list(options: KineticsOptions) -> list[str]:
    """Write ``kinetics400.csv`` (``600``, ``700``) and ``labels.txt``; return the lines of the report.

    Raises:
        InputError: an official CSV cannot be read, no listed video is there, or a file cannot be written.
    """
    version = options.num_classes
    segments = read_segments(options.csv_files)
    names = class_names(segments, version)
    videos = listed_videos(segments, names, version, options.untrimmed)
    official = OfficialList(f"Kinetics-{version}", videos, names, num_classes=version)

    folder = options.output or f"data/kinetics{version}"
    path = Path(folder) / f"kinetics{version}.csv"
    lines = write_found(official, options.videos, path, options.missing)
    command = train_command("kinetics_rs.yaml", path, f"MODEL.NUM_CLASSES {len(names)}")
    return [*lines, *class_count_note(official), *command]


def read_segments(paths: Sequence[str]) -> list[Segment]:
    """Return the rows of all CSVs, in their order.

    Raises:
        InputError: a CSV or a row cannot be read; the message has the line number.
    """
    segments = []
    for path in paths:
        segments += _read_csv(path)
    return segments


def class_names(segments: Sequence[Segment], version: int) -> list[str]:
    """Return the classes in the order of their ids.

    Kinetics-400 has the names that its published checkpoints have (torchvision's); for the others the names of the
    train rows are sorted.

    Raises:
        InputError: there are no train rows to take names from.
    """
    if version == 400:
        # Importing torchvision takes seconds, and the other versions do not need it.
        from torchvision.models.video import R3D_18_Weights

        return list(R3D_18_Weights.KINETICS400_V1.meta["categories"])

    names = sorted({segment.label for segment in segments if segment.split == "train" and segment.label})
    if not names:
        raise InputError(f"the classes of Kinetics-{version} are named by its train rows; give the train CSV too")

    # CSVs spell some names in two ways; the first spelling in the alphabet stands for both.
    first_spelling: dict[str, str] = {}
    for name in names:
        first_spelling.setdefault(normalised(name), name)
    return sorted(first_spelling.values())


def listed_videos(
    segments: Sequence[Segment], names: Sequence[str], version: int, untrimmed: bool
) -> list[ListedVideo]:
    """Return the videos to look for: ``ID_000010_000020`` (as CVDF names them), ``ID_10_20``, or ``ID`` alone.

    Args:
        segments: of the official CSVs.
        names: the classes; a label is the name that agrees with it in letters and digits.
        version: 400, 600 or 700.
        untrimmed: a file named by its id alone is the whole video, of which the row's seconds count; else it is cut.

    Raises:
        InputError: a label is no class.
    """
    by_letters = {normalised(name): name for name in names}
    videos = [_listed_video(segment, by_letters, version, untrimmed) for segment in segments]
    return list(dict.fromkeys(videos))


def _listed_video(segment: Segment, by_letters: Mapping[str, str], version: int, untrimmed: bool) -> ListedVideo:
    """Return what to look for of one row."""
    label = by_letters.get(normalised(segment.label), "")
    if segment.label and not label:
        _refuse_label(segment, list(by_letters.values()), version)

    name = segment.youtube_id
    clip = f"{name}_{segment.start:06d}_{segment.end:06d}"
    stems = (clip, f"{name}_{segment.start}_{segment.end}")
    if not untrimmed:
        return ListedVideo(clip, label, segment.split, (*stems, name))
    return ListedVideo(clip, label, segment.split, stems, uncut=name, start=str(segment.start), end=str(segment.end))


def _refuse_label(segment: Segment, names: list[str], version: int) -> None:
    """Raise InputError for a label that is no class."""
    near = nearest(segment.label, names)
    hint = f", nearest {near!r}" if near else ""
    raise InputError(
        f"{segment.where}: label {shortened(segment.label)!r} is none of the {len(names)} classes of "
        f"Kinetics-{version}{hint}; give the CSVs of one version, and that version as --classes"
    )


def _read_csv(path: str) -> list[Segment]:
    """Return the rows of one CSV."""
    text = read_text(path, "Kinetics CSV", _HOW_TO)
    reader = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True)
    try:
        header = reader.fieldnames or ()
    except csv.Error as error:
        raise InputError(f"{path}, line 1: {error}; correct the line") from error
    for column in _COLUMNS:
        if column not in header:
            raise InputError(f"{path}: no column {column!r} in the header ({','.join(header)}); {_HOW_TO}")

    segments = []
    try:
        for row in reader:
            segments.append(_segment(row, f"{path}, line {reader.line_num}"))
    except csv.Error as error:
        # The inner reader counts the line that failed, the outer reader the last good one.
        raise InputError(f"{path}, line {reader.reader.line_num}: {error}; correct the line") from error
    return segments


def _segment(row: Mapping[str, str | None], where: str) -> Segment:
    """Return one row, checked."""
    # A row that is too short has None in its last columns.
    cells = {column: (text or "").strip() for column, text in row.items() if column in (*_COLUMNS, "label")}
    youtube_id = cells["youtube_id"]
    if not youtube_id:
        raise InputError(f"{where}: no youtube_id; fill it in or remove the line")
    if cells["split"] not in SPLIT_WORDS:
        raise InputError(f"{where}: split {cells['split']!r}, allowed: {', '.join(SPLIT_WORDS)}; correct it")

    start = _seconds(cells["time_start"], "time_start", where)
    end = _seconds(cells["time_end"], "time_end", where)
    if end <= start:
        raise InputError(f"{where}: time_end {end} is not after time_start {start}; correct the line")
    return Segment(where, cells.get("label", ""), youtube_id, start, end, SPLIT_WORDS[cells["split"]])


def _seconds(text: str, column: str, where: str) -> int:
    """Return the whole seconds that a cell states."""
    try:
        value = int(float(text))
    except (ValueError, OverflowError):
        value = -1
    if value < 0:
        raise InputError(f"{where}: {column} {shortened(text)!r}, expected seconds from 0; correct it")
    return value
