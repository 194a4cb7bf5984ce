"""The steps that all official data sets share: walk, match, write, report."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from video_rs.lists.sources.coverage import Listed, match, summary
from video_rs.lists.sources.names import VideoIndex
from video_rs.lists.sources.writing import write_label_map, write_lines, write_list
from video_rs.lists.trees import notes_on, search
from video_rs.runtime.errors import InputError


def prepare(
    listed: Sequence[Listed],
    names: Sequence[str],
    videos: str,
    list_path: Path,
    missing: str = "",
    loose: bool = False,
) -> list[str]:
    """Write ``list_path`` and ``labels.txt`` beside it; returns the report's lines.

    Args:
        listed: the official list.
        names: its classes, in their order.
        videos: folder of the files, walked once.
        list_path: the CSV to write.
        missing: file for the ids that were not found, one a line; empty: none is written.
        loose: see :func:`video_rs.lists.sources.coverage.match`.

    Raises:
        InputError: no listed video is there, or a file cannot be written.
    """
    tree = search(videos)
    index = VideoIndex(tree.videos)
    coverage = match(listed, index, loose)
    if not coverage.rows:
        _refuse_nothing(listed, index, videos, notes_on(tree))
    lines = [*summary(coverage), *notes_on(tree)]
    lines.append(write_label_map(list_path.with_name("labels.txt"), names))  # first: it refuses bad names
    lines.append(write_list(list_path, coverage.rows, videos))
    if missing:
        lines.append(write_lines(Path(missing), [item.id for item in coverage.missing]))
    return lines


def class_count_note(got: int, expected: int, what: str) -> list[str]:
    """A line where a data set has not its known number of classes."""
    return [] if got == expected else [f"note: {got} classes, where {what} has {expected}; are all its lists there?"]


def train_command(config: str, list_path: Path | None = None, more: str = "") -> list[str]:
    """What to type next, in two lines; a list is named with the label map beside it."""
    command = f"python tools/train_net.py --cfg {shlex.quote(config)}"
    if list_path is not None:
        lists, labels = (shlex.quote(str(path)) for path in (list_path, list_path.with_name("labels.txt")))
        command += f" DATA.TRAIN_LIST {lists} DATA.VAL_LIST {lists} DATA.LABEL_MAP {labels}"
    return ["train with:", f"  {command} {more}".rstrip()]


def _refuse_nothing(listed: Sequence[Listed], index: VideoIndex, videos: str, notes: Sequence[str]) -> None:
    if not index.paths:
        why = "".join(f"; {note}" for note in notes)
        raise InputError(f"{videos} holds no videos, such as .mp4 files{why}; give the folder that holds them")
    if not listed:
        raise InputError("the official lists name no videos; give the complete files")
    raise InputError(
        f"none of the {len(listed):,} listed videos is among the {len(index.paths):,} files of {videos} (such as "
        f"{index.paths[0]}); expected names like {listed[0].stems[0]}.mp4; give the folder and lists of one data set"
    )
