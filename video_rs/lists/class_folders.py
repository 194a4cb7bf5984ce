"""Folders of class folders: ``CLASS/**/VIDEO``, or ``train/CLASS/**/VIDEO`` and ``val/CLASS/**/VIDEO``."""

from collections.abc import Sequence
from typing import NamedTuple

from video_rs.lists.rows import SPLIT_WORDS, SPLITS, ListRow
from video_rs.lists.video_search import left_out_notes, search_videos
from video_rs.runtime.errors import InputError


class ClassFolders(NamedTuple):
    """The videos of a folder of class folders.

    Attributes:
        rows: in the order of splits, classes and paths; paths are relative to the folder.
        has_splits: whether class folders lie in folders of splits.
        notes: lines on what has been left out.
    """

    rows: list[ListRow]
    has_splits: bool
    notes: list[str]


def read_class_folders(source: str) -> ClassFolders:
    """Return a row for each video that lies in a class folder of ``source``; there may be none.

    Raises:
        InputError: the folder cannot be read, or a folder in it may be a split or a class.
    """
    found = search_videos(source)
    paths = [path.split("/") for path in found.videos]

    splits = split_folders(source, [parts[:-1] for parts in paths])
    if not splits:
        rows = _rows_of_classes(paths, class_depth=0, split="")
        return ClassFolders(rows, False, left_out_notes(found, class_depth=0))

    rows = []
    for folder, split in sorted(splits.items(), key=lambda item: SPLITS.index(item[1])):
        inside = [parts for parts in paths if parts[0] == folder]
        rows += _rows_of_classes(inside, class_depth=1, split=split)
    return ClassFolders(rows, True, left_out_notes(found, class_depth=1))


def _rows_of_classes(paths: Sequence[list[str]], class_depth: int, split: str) -> list[ListRow]:
    """Return the rows of videos in class folders, sorted by class and path.

    Args:
        paths: in their parts.
        class_depth: number of folders that a class folder lies in.
        split: of all rows.
    """
    labelled = []
    for parts in paths:
        is_in_class_folder = len(parts) > class_depth + 1
        if is_in_class_folder:
            labelled.append((parts[class_depth], parts))
    labelled.sort()

    return [ListRow(0, "/".join(parts), label, split) for label, parts in labelled]


def split_folders(source: str, folders: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return the folders at the top of ``source`` that are splits, name -> split.

    Folders that are called like a split and have class folders in them are splits if they are of two splits at least,
    or if there are no other folders: a class may be called ``train``, too.

    Args:
        source: the folder, for messages.
        folders: of each video, in their parts.

    Raises:
        InputError: a folder may be a split or a class.
    """
    # A video that lies in the top folder itself has "" for its class folder.
    class_folders: dict[str, set[str]] = {}
    for parts in folders:
        if parts:
            inside = parts[1] if len(parts) > 1 else ""
            class_folders.setdefault(parts[0], set()).add(inside)

    splits = {}
    others = []
    for top, inside in sorted(class_folders.items()):
        if top.lower() not in SPLIT_WORDS:
            others.append(top)
        elif inside != {""}:
            splits[top] = SPLIT_WORDS[top.lower()]
    if len(set(splits.values())) > 1 or not others:
        return splits

    # Beside other folders, a folder called like a split is a class if it holds one folder or videos of its own.
    for top in splits:
        inside = class_folders[top]
        if len(inside) > 1 and "" not in inside:
            raise InputError(
                f"{source}: {top} with the folders {', '.join(sorted(inside)[:3])} may be a split or a class, for "
                f"{others[0]} with videos lies beside it; move {others[0]} away, or call the class {top} otherwise"
            )
    return {}
