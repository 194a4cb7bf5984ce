"""Kinetics-400, -600 and -700: the official CSVs (``label,youtube_id,time_start,time_end,split[,is_cc]``)."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from video_rs.lists.listing import SPLIT_WORDS, read_text, short
from video_rs.lists.sources.coverage import Listed
from video_rs.lists.sources.names import normalised
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest

VERSIONS = (400, 600, 700)
_COLUMNS = ("youtube_id", "time_start", "time_end", "split")
_HOW_TO = "give an official CSV (label,youtube_id,time_start,time_end,split)"


class Segment(NamedTuple):
    """One row of an official CSV; ``where`` it stands is for messages, times are whole seconds."""

    where: str
    label: str
    youtube_id: str
    start: int
    end: int
    split: str


def read_segments(paths: Sequence[str]) -> list[Segment]:
    """The rows of all CSVs, in their order. Raises InputError, with the line number."""
    return [segment for path in paths for segment in _read(path)]


def class_names(segments: Sequence[Segment], version: int) -> list[str]:
    """The classes in the order of their numbers.

    Kinetics-400 has the names that its published checkpoints have (torchvision's); for the others the names of the
    train rows are sorted. Raises InputError where there are no train rows to take names from.
    """
    if version == 400:
        from torchvision.models.video import R3D_18_Weights  # seconds to import: only where it is needed

        return list(R3D_18_Weights.KINETICS400_V1.meta["categories"])
    names = sorted({segment.label for segment in segments if segment.split == "train" and segment.label})
    if not names:
        raise InputError(f"the classes of Kinetics-{version} are named by its train rows; give the train CSV too")
    return sorted({normalised(name): name for name in reversed(names)}.values())


def listed_segments(segments: Sequence[Segment], names: Sequence[str], version: int, untrimmed: bool) -> list[Listed]:
    """What to look for: ``ID_000010_000020`` (as CVDF names them), ``ID_10_20``, or ``ID`` alone.

    Args:
        segments: of the official CSVs.
        names: the classes; a label is the name that agrees with it in letters and digits.
        version: 400, 600 or 700.
        untrimmed: a file named by its id alone is the whole video, of which the row's seconds count; else it is cut.

    Raises:
        InputError: a label that is no class.
    """
    by_letters = {normalised(name): name for name in names}
    return list(dict.fromkeys(_listed(segment, by_letters, version, untrimmed) for segment in segments))


def _listed(segment: Segment, by_letters: dict[str, str], version: int, untrimmed: bool) -> Listed:
    label = by_letters.get(normalised(segment.label), "")
    if segment.label and not label:
        _refuse_label(segment, list(by_letters.values()), version)
    name, start, end = segment.youtube_id, segment.start, segment.end
    clip = f"{name}_{start:06d}_{end:06d}"
    stems = (clip, f"{name}_{start}_{end}")
    if untrimmed:
        return Listed(clip, label, segment.split, stems, uncut=name, start=str(start), end=str(end))
    return Listed(clip, label, segment.split, (*stems, name))


def _refuse_label(segment: Segment, names: list[str], version: int) -> None:
    near = nearest(segment.label, names)
    hint = f", nearest {near!r}" if near else ""
    raise InputError(
        f"{segment.where}: label {short(segment.label)!r} is none of the {len(names)} classes of Kinetics-{version}"
        f"{hint}; give the CSVs of one version, and that version as --classes"
    )


def _read(path: str) -> Iterator[Segment]:
    reader = csv.DictReader(io.StringIO(read_text(path, "Kinetics CSV", _HOW_TO), newline=""), skipinitialspace=True)
    absent = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
    if absent:
        raise InputError(
            f"{path}: no column {absent[0]!r} in the header {','.join(reader.fieldnames or ())}; {_HOW_TO}"
        )
    try:
        for row in reader:
            yield _segment(row, f"{path}, line {reader.line_num}")
    except csv.Error as error:
        # The inner reader's number: the outer one's is that of the last good row.
        raise InputError(f"{path}, line {reader.reader.line_num}: {error}; correct the line") from error


def _segment(row: dict[str, str | None], where: str) -> Segment:
    values = {name: (row[name] or "").strip() for name in _COLUMNS}
    if not values["youtube_id"]:
        raise InputError(f"{where}: no youtube_id; fill it in or remove the line")
    if values["split"] not in SPLIT_WORDS:
        raise InputError(f"{where}: split {values['split']!r}, allowed: {', '.join(SPLIT_WORDS)}; correct it")
    start, end = (_seconds(values[name], name, where) for name in ("time_start", "time_end"))
    if end <= start:
        raise InputError(f"{where}: time_end {end} is not after time_start {start}; correct the line")
    label = (row.get("label") or "").strip()
    return Segment(where, label, values["youtube_id"], start, end, SPLIT_WORDS[values["split"]])


def _seconds(text: str, name: str, where: str) -> int:
    try:
        value = int(float(text))
    except (ValueError, OverflowError):
        value = -1
    if value < 0:
        raise InputError(f"{where}: {name} {short(text)!r}, expected seconds from 0; correct it")
    return value
