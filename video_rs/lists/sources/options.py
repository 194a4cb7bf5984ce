"""What the user of each source chooses; importing this module is quick, so that a command line can show defaults."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FolderOptions:
    """Options of :func:`video_rs.lists.sources.folder.make_list`.

    Attributes:
        videos: folder of class folders, or of ``train`` and ``val`` with class folders in them.
        base_config: config file that the written config starts from.
        output: folder for what is written; empty: ``data/NAME`` of ``videos``.
        val_share: share of each class for validation, in (0, 1).
        seed: another seed gives another split.
        group_by: regular expression; videos in whose names it finds the same text stay in one split. Empty: each file
            is a video of its own.
    """

    videos: str
    base_config: Path
    output: str = ""
    val_share: float = 0.2
    seed: int = 0
    group_by: str = ""


@dataclass(frozen=True)
class SplitOptions:
    """Options of a data set that has three official splits: HMDB51 and UCF101.

    Attributes:
        videos: folder of the videos, with or without class folders.
        lists: folder of the official lists.
        output: folder for what is written.
        split: 1, 2 or 3.
        missing: file for the ids of videos that were not found, one a line; empty: none is written.
    """

    videos: str
    lists: str
    output: str
    split: int = 1
    missing: str = ""


KINETICS_VERSIONS = (400, 600, 700)
"""How many classes the Kinetics data sets have, which is how they are told apart."""


@dataclass(frozen=True)
class KineticsOptions:
    """Options of :func:`video_rs.lists.sources.kinetics.make_list`.

    Attributes:
        videos: folder of the videos, with or without folders of splits and classes.
        csv_files: the official CSVs of all splits to list.
        num_classes: 400, 600 or 700: which Kinetics.
        output: folder for what is written; empty: ``data/kinetics400``, ``600`` or ``700``.
        untrimmed: whether files ``ID.mp4`` are whole videos, of which the rows' seconds are listed.
        missing: file for the ids of videos that were not found, one a line; empty: none is written.
    """

    videos: str
    csv_files: tuple[str, ...]
    num_classes: int
    output: str = ""
    untrimmed: bool = False
    missing: str = ""


@dataclass(frozen=True)
class Ssv2Options:
    """Options of :func:`video_rs.lists.sources.ssv2.make_list`.

    Attributes:
        videos: folder of the videos.
        labels: folder of labels.json, train.json and validation.json.
        base_config: config file that the written config starts from.
        output: folder for what is written.
        missing: file for the ids of videos that were not found, one a line; empty: none is written.
    """

    videos: str
    labels: str
    base_config: Path
    output: str = "data/ssv2"
    missing: str = ""
