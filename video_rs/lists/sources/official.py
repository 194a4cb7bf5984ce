"""The steps that all official data sets share: walk, match, write, report."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from video_rs.lists.sources.match_report import report_lines
from video_rs.lists.sources.matching import ListedVideo, match_files
from video_rs.lists.sources.output import save_label_map, save_lines, save_list
from video_rs.lists.sources.video_index import VideoIndex
from video_rs.lists.video_search import left_out_notes, search_videos
from video_rs.runtime.errors import InputError


@dataclass(frozen=True)
class OfficialList:
    """The official list of a data set.

    Attributes:
        title: what people call the data set.
        videos: that are listed.
        class_names: in the order of the class ids.
        num_classes: how many classes the data set is known to have.
        similar_names: see :func:`video_rs.lists.sources.matching.match_files`.
    """

    title: str
    videos: Sequence[ListedVideo]
    class_names: Sequence[str]
    num_classes: int
    similar_names: bool = False


def write_found(official: OfficialList, videos: str, list_path: Path, missing: str = "") -> list[str]:
    """Write the list of the videos that are there, and its label map ``labels.txt`` beside it.

    Args:
        official: the official list.
        videos: folder of the files, walked once.
        list_path: the CSV to write.
        missing: file for the ids that were not found, one a line; empty: none is written.

    Returns:
        The lines of the report.

    Raises:
        InputError: no listed video is there, or a file cannot be written.
    """
    found = search_videos(videos)

    index = VideoIndex(found.videos)
    matched = match_files(official.videos, index, official.similar_names)
    if not matched.rows:
        _refuse_nothing(official.videos, index, videos, left_out_notes(found))

    lines = [*report_lines(matched), *left_out_notes(found)]
    # The label map comes first: it refuses names that the list cannot hold.
    lines.append(save_label_map(list_path.with_name("labels.txt"), official.class_names))
    lines.append(save_list(list_path, matched.rows, videos))
    if missing:
        lines.append(save_lines(Path(missing), [video.id for video in matched.missing]))
    return lines


def class_count_note(official: OfficialList) -> list[str]:
    """Return a line where a list has not the number of classes that its data set is known to have."""
    count = len(official.class_names)
    if count == official.num_classes:
        return []
    return [f"note: {count} classes, where {official.title} has {official.num_classes}; are all its lists there?"]


def _refuse_nothing(listed: Sequence[ListedVideo], index: VideoIndex, videos: str, notes: Sequence[str]) -> None:
    """Raise InputError: no listed video is there, and why that may be."""
    if not index.paths:
        why = "".join(f"; {note}" for note in notes)
        raise InputError(f"{videos} holds no videos, such as .mp4 files{why}; give the folder that holds them")
    if not listed:
        raise InputError("the official lists name no videos; give the complete files")
    raise InputError(
        f"none of the {len(listed):,} listed videos is among the {len(index.paths):,} files of {videos} (such as "
        f"{index.paths[0]}); expected names like {listed[0].stems[0]}.mp4; give the folder and lists of one data set"
    )
