"""One's own videos: a folder of class folders becomes rows with a split."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from video_rs.lists.listing import SPLITS, Row, short, split_folders
from video_rs.lists.sources.splitting import choose_validation
from video_rs.lists.trees import notes_on, search
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import canonical, counted, some

_MIRRORED = {
    "left", "right", "leftward", "rightward", "leftwards", "rightwards", "clockwise", "counterclockwise",
    "anticlockwise", "cw", "ccw", "acw",
}  # fmt: skip


@dataclass(frozen=True)
class Folder:
    """What a folder gives.

    Attributes:
        rows: sorted by path, which is relative to the folder; their splits are train and val.
        names: the classes, sorted.
        notes: lines on what a user should know before training.
    """

    rows: list[Row]
    names: list[str]
    notes: list[str]


def read_folder(folder: str, *, val_share: float, seed: int, group_by: str = "") -> Folder:
    """Rows of ``CLASS/**/VIDEO``, split here, or of ``train/CLASS/**`` and ``val/CLASS/**``, whose split is kept.

    Args:
        folder: of class folders; what lies in none is left out and counted.
        val_share: of each class for validation, in (0, 1).
        seed: another one gives another split.
        group_by: a regular expression, searched in the path below the class folder; videos of which it finds the same
            text (its first group, if it has one) stay in one split, whatever their class.

    Raises:
        InputError: fewer than two classes, nothing to validate on, or an expression that does not fit all names.
    """
    if not 0 < val_share < 1:
        raise InputError(f"--val-share is {val_share:g}; allowed: above 0 and below 1, e.g. 0.2")
    tree = search(folder)
    paths = tree.videos
    given = _given_splits(paths, folder)
    depth = 1 if given else 0  # of the class folder
    inside = [path for path in paths if path.count("/") > depth and (not given or _top(path) in given)]
    folders = [path.split("/")[depth] for path in inside]
    labels = list(map(canonical, folders))
    names = _in_order(set(labels))
    _require_classes(names, folder)
    splits = [given[_top(path)] for path in inside] if given else _split(inside, labels, val_share, seed, group_by)
    rows = [Row(0, path, label, split) for path, label, split in zip(inside, labels, splits, strict=True)]
    notes = _notes(rows, names, len(paths) - len(inside), bool(given), group_by)
    return Folder(rows, names, [*notes, *notes_on(tree, depth)])


def mirrored_names(names: Sequence[str]) -> list[str]:
    """The class names with a word of direction in them, which a mirror image turns into another class."""
    return [
        name for name in names if _MIRRORED & {word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
    ]


def _given_splits(paths: Sequence[str], folder: str) -> dict[str, str]:
    """The folders train and val with class folders in them, as :func:`split_folders` has them."""
    found = split_folders(folder, [path.split("/")[:-1] for path in paths])
    if found and not {"train", "val"} <= set(found.values()):
        raise InputError(
            f"{folder} holds {' and '.join(found)} only; have class folders in both train and val, or move the "
            "class folders up and let them be split"
        )
    return found


def _in_order(names: set[str]) -> list[str]:
    """Sorted; where all are numbers, 10 comes after 9."""
    return sorted(names, key=int) if all(map(str.isdecimal, names)) else sorted(names)


def _top(path: str) -> str:
    return path.split("/", 1)[0]


def _require_classes(names: Sequence[str], folder: str) -> None:
    if len(names) < 2:
        found = f"one class folder with videos ({names[0]})" if names else "no videos in class folders"
        raise InputError(f"{folder} has {found}; sort the videos into two or more, CLASS/video.mp4")


def _split(paths: list[str], labels: list[str], share: float, seed: int, group_by: str) -> list[str]:
    groups = _groups(paths, group_by) if group_by else paths
    val = choose_validation(labels, groups, share, seed)
    if not any(val):
        raise InputError(
            f"no class has videos of two sources, so none is left to validate on ({counted(len(paths), 'video')} of "
            f"{len(set(groups))} sources); add videos, or correct --group-by"
        )
    return ["val" if chosen else "train" for chosen in val]


def _groups(paths: list[str], group_by: str) -> list[str]:
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        raise InputError(f"--group-by {group_by!r} is no regular expression ({error}); try '^(.*)_'") from error
    found = [pattern.search(path.split("/", 1)[1]) for path in paths]
    without = [path for path, match in zip(paths, found, strict=True) if match is None]
    if without:
        raise InputError(
            f"--group-by {group_by!r} is not found in {len(without)} of {len(paths)} names, such as "
            f"{short(without[0].split('/', 1)[1])!r}; make it fit all of them"
        )
    return [(match[1] or "") if pattern.groups else match[0] for match in found]


def _notes(rows: Sequence[Row], names: Sequence[str], outside: int, given: bool, group_by: str) -> list[str]:
    counts = {split: Counter(row.label for row in rows if row.split == split) for split in SPLITS}
    used = [split for split in SPLITS if counts[split]]
    purposes = {"train": "for train", "val": "to validate on", "test": "for test"}
    notes = [", ".join(f"{counted(counts[split].total(), 'video')} {purposes[split]}" for split in used)]
    for split in ("train", "val"):
        empty = [name for name in names if not counts[split][name]]
        if empty:
            notes.append(f"note: no {split} videos of {some(empty)}")
    if outside:
        notes.append(f"left out: {counted(outside, 'video')} outside class folders")
    if given:
        notes.append("the split is that of the folders train and val")
    elif not group_by:
        notes.append("each file counts as a video of its own; if some are cut from one video, give --group-by")
    return notes
