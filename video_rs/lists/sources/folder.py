"""One's own videos: a folder of class folders becomes a list with a split, a label map and a config."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from video_rs.lists.class_folders import split_folders
from video_rs.lists.rows import SPLITS, ListRow, shortened
from video_rs.lists.sources.options import FolderOptions
from video_rs.lists.sources.output import save_config, save_label_map, save_list, train_command
from video_rs.lists.sources.validation_split import choose_validation
from video_rs.lists.video_search import left_out_notes, search_videos
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import canonical, first_names, pluralize

_DIRECTIONS = {
    "left", "right", "leftward", "rightward", "leftwards", "rightwards", "clockwise", "counterclockwise",
    "anticlockwise", "cw", "ccw", "acw",
}  # fmt: skip
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_PURPOSES = {"train": "for train", "val": "to validate on", "test": "for test"}
_COMMENT = """\
A small network from scratch on the videos of {videos}. Written by video-rs list folder; what is
not here comes from _BASE_.

Command:   video-rs train --cfg {config}
Hardware:  a laptop's CPU.
Time:      not measured.
Expected:  not measured.
"""


@dataclass(frozen=True)
class SplitFolder:
    """What a folder gives.

    Attributes:
        rows: sorted by path, which is relative to the folder; their splits are train and val.
        names: the classes, sorted.
        notes: lines on what a user should know before training.
    """

    rows: list[ListRow]
    names: list[str]
    notes: list[str]


def make_list(options: FolderOptions) -> list[str]:
    """Write ``list.csv``, ``labels.txt`` and ``config.yaml``; return the lines of the report.

    Raises:
        InputError: the folder cannot be used, or a file cannot be written.
    """
    found = read_folder(options)
    output = Path(options.output or Path("data") / Path(options.videos).resolve().name)
    mirrored = mirrored_names(found.names)

    lines = [f"{len(found.names)} classes", *found.notes]
    lines.append(save_label_map(output / "labels.txt", found.names))
    lines.append(save_list(output / "list.csv", found.rows, options.videos))
    lines.append(_save_config(output, options, may_mirror=not mirrored))
    if mirrored:
        lines.append(f"note: clips are not mirrored, because of the class {mirrored[0]}")
    return [*lines, *train_command(str(output / "config.yaml"))]


def _save_config(output: Path, options: FolderOptions, may_mirror: bool) -> str:
    """Write the config beside the list; return the line of the report about it."""
    path = output / "config.yaml"
    absolute = output.resolve()
    data: dict[str, str | bool] = {
        "TRAIN_LIST": str(absolute / "list.csv"),
        "VAL_LIST": str(absolute / "list.csv"),
        "LABEL_MAP": str(absolute / "labels.txt"),
    }
    if not may_mirror:
        data["RANDOM_FLIP"] = False

    values = {"OUTPUT_DIR": f"runs/{absolute.name}", "DATA": data}
    comment = _COMMENT.format(videos=Path(options.videos).resolve(), config=path)
    return save_config(path, comment, options.base_config, values)


def read_folder(options: FolderOptions) -> SplitFolder:
    """Return the rows of ``CLASS/**/VIDEO``, split here, or of ``train/CLASS/**`` and ``val/CLASS/**``, split already.

    Videos that lie in no class folder are left out and counted.

    Raises:
        InputError: there are fewer than two classes, there is nothing to validate on, or ``group_by`` does not fit all
            names.
    """
    if not 0 < options.val_share < 1:
        raise InputError(f"--val-share is {options.val_share:g}; allowed: above 0 and below 1, e.g. 0.2")

    folder = options.videos
    found = search_videos(folder)

    # Folders train and val with class folders in them are a split that somebody has made.
    split_of_folder = _given_splits(found.videos, folder)
    class_depth = 1 if split_of_folder else 0
    paths = []
    for path in found.videos:
        is_in_class_folder = path.count("/") > class_depth
        if is_in_class_folder and (not split_of_folder or _top_folder(path) in split_of_folder):
            paths.append(path)

    # A class may be spelt in two Unicode forms, by two machines.
    labels = [canonical(path.split("/")[class_depth]) for path in paths]
    names = _sorted_names(set(labels))
    _require_classes(names, folder)

    if split_of_folder:
        splits = [split_of_folder[_top_folder(path)] for path in paths]
    else:
        splits = _chosen_splits(paths, labels, options)
    rows = [ListRow(0, path, label, split) for path, label, split in zip(paths, labels, splits, strict=True)]

    notes = _count_notes(rows, names)
    outside = len(found.videos) - len(paths)
    if outside:
        notes.append(f"left out: {pluralize(outside, 'video')} outside class folders")
    if split_of_folder:
        notes.append("the split is that of the folders train and val")
    elif not options.group_by:
        notes.append("each file counts as a video of its own; if some are cut from one video, give --group-by")
    notes += left_out_notes(found, class_depth)
    return SplitFolder(rows, names, notes)


def mirrored_names(names: Sequence[str]) -> list[str]:
    """Return the class names with a word of direction in them, which a mirror image turns into another class."""
    mirrored = []
    for name in names:
        words = {word.casefold() for word in _WORD.findall(name)}
        if words & _DIRECTIONS:
            mirrored.append(name)
    return mirrored


def _given_splits(paths: Sequence[str], folder: str) -> Mapping[str, str]:
    """Return the folders of splits, name -> split, where there are folders ``train`` and ``val`` with class folders."""
    found = split_folders(folder, [path.split("/")[:-1] for path in paths])
    if found and not {"train", "val"} <= set(found.values()):
        raise InputError(
            f"{folder} holds {' and '.join(found)} only; have class folders in both train and val, or move the "
            "class folders up and let them be split"
        )
    return found


def _top_folder(path: str) -> str:
    """Return the first folder of a relative path."""
    return path.split("/", 1)[0]


def _sorted_names(names: set[str]) -> list[str]:
    """Return class names sorted; where all are numbers, 10 comes after 9."""
    if all(map(str.isdecimal, names)):
        return sorted(names, key=int)
    return sorted(names)


def _require_classes(names: Sequence[str], folder: str) -> None:
    """Raise InputError where there are fewer than two classes."""
    if len(names) > 1:
        return
    found = "no videos in class folders"
    if names:
        found = f"one class folder with videos ({names[0]})"
    raise InputError(f"{folder} has {found}; sort the videos into two or more, CLASS/video.mp4")


def _chosen_splits(paths: Sequence[str], labels: Sequence[str], options: FolderOptions) -> list[str]:
    """Return ``train`` or ``val`` for each video."""
    # Without an expression each video is a group of its own.
    groups = paths
    if options.group_by:
        groups = _groups(paths, options.group_by)
    chosen = choose_validation(labels, groups, options.val_share, options.seed)
    if not any(chosen):
        raise InputError(
            f"no class has videos of two sources, so none is left to validate on ({pluralize(len(paths), 'video')} of "
            f"{len(set(groups))} sources); add videos, or correct --group-by"
        )
    return ["val" if is_chosen else "train" for is_chosen in chosen]


def _groups(paths: Sequence[str], group_by: str) -> list[str]:
    """Return the group of each video: what the expression finds in its path below the class folder."""
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise InputError(f"--group-by {group_by!r} is no regular expression ({error}); try '^(.*)_'") from error

    groups = []
    not_found = []
    for path in paths:
        name = path.split("/", 1)[1]
        match = pattern.search(name)
        if match is None:
            not_found.append(name)
        elif pattern.groups:
            groups.append(match[1] or "")  # a group that took no part in the match is None
        else:
            groups.append(match[0])

    if not_found:
        raise InputError(
            f"--group-by {group_by!r} is not found in {len(not_found)} of {len(paths)} names, such as "
            f"{shortened(not_found[0])!r}; make it fit all of them"
        )
    return groups


def _count_notes(rows: Sequence[ListRow], names: Sequence[str]) -> list[str]:
    """Return a line on how many videos each split has, and a line on the classes that a split has none of."""
    counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for row in rows:
        counts[row.split][row.label] += 1

    totals = []
    for split in SPLITS:
        if counts[split]:
            totals.append(f"{pluralize(counts[split].total(), 'video')} {_PURPOSES[split]}")

    notes = [", ".join(totals)]
    for split in ("train", "val"):
        empty = [name for name in names if not counts[split][name]]
        if empty:
            notes.append(f"note: no {split} videos of {first_names(empty)}")
    return notes
