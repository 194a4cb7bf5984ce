"""The videos of an official list matched by name with the files that are there."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from video_rs.lists.rows import ListRow
from video_rs.lists.sources.video_index import VideoIndex, normalised


class ListedVideo(NamedTuple):
    """One video of an official list.

    Attributes:
        id: what the list calls the video.
        label: class name; "" where the list does not tell.
        split: ``train``, ``val`` or ``test``; "" for a video that is listed but not used.
        stems: names, without ending, that the video's file may have.
        uncut: name, without ending, of a file from which the video has to be cut; "": there is none.
        start, end: of the video in the uncut file, in seconds.
    """

    id: str
    label: str
    split: str
    stems: tuple[str, ...]
    uncut: str = ""
    start: str = ""
    end: str = ""


@dataclass(frozen=True)
class MatchedList:
    """What was found of an official list.

    Attributes:
        listed: the list.
        rows: the found videos of a split, in the list's order; paths as in the index.
        missing: the videos of a split without a file.
        unlisted: files that the list does not name.
        copies: number of files beyond the first of a listed video.
        shared: number of videos counted as missing because their only file is another video's too.
    """

    listed: Sequence[ListedVideo]
    rows: list[ListRow]
    missing: list[ListedVideo]
    unlisted: list[str]
    copies: int
    shared: int


class _Match(NamedTuple):
    """The files that may be a listed video, and whether they are uncut."""

    video: ListedVideo
    paths: list[str]
    is_uncut: bool = False


def match_files(listed: Sequence[ListedVideo], index: VideoIndex, similar_names: bool = False) -> MatchedList:
    """Find the file of each listed video by its name.

    Of several files the one in a folder of the video's class is taken, else the first.

    Args:
        listed: the official list.
        index: of the files.
        similar_names: whether a file is also taken whose name agrees in letters and digits alone, if that is not
            exactly the name of another video.
    """
    matches = [_exact_match(video, index) for video in listed]
    known = _paths_of(matches)
    if similar_names:
        # Only now is it known which names are exactly those of other videos.
        for number, match in enumerate(matches):
            if not match.paths:
                matches[number] = _similar_match(match.video, index, known)
        known |= _paths_of(matches)

    chosen = [_best_path(match) for match in matches]
    # Several videos may be cut from one uncut file; any other file belongs to one video.
    owners: Counter[str] = Counter()
    for match, path in zip(matches, chosen, strict=True):
        if not match.is_uncut:
            owners[path] += 1

    rows = []
    missing = []
    shared = 0
    for match, path in zip(matches, chosen, strict=True):
        if not match.video.split:
            continue
        if path and (match.is_uncut or owners[path] == 1):
            rows.append(_row(match, path))
        else:
            missing.append(match.video)
        if path and owners[path] > 1:
            shared += 1

    used = set(filter(None, chosen))
    unlisted = [path for path in index.paths if path not in known]
    return MatchedList(listed, rows, missing, unlisted, copies=len(known - used), shared=shared)


def _paths_of(matches: Sequence[_Match]) -> set[str]:
    """Return all files that may be a listed video."""
    paths: set[str] = set()
    for match in matches:
        paths.update(match.paths)
    return paths


def _exact_match(video: ListedVideo, index: VideoIndex) -> _Match:
    """Return the files that have one of the video's names."""
    paths = []
    for stem in video.stems:
        paths += index.named(stem)
    if not paths and video.uncut:
        return _Match(video, index.named(video.uncut), is_uncut=True)
    return _Match(video, paths)


def _similar_match(video: ListedVideo, index: VideoIndex, known: set[str]) -> _Match:
    """Return the files with a similar name that are no other video's."""
    paths = [path for path in index.named_alike(video.stems[0]) if path not in known]
    return _Match(video, paths)


def _best_path(match: _Match) -> str:
    """Return the file to take, "" where there is none."""
    if not match.paths:
        return ""
    if len(match.paths) == 1:
        return match.paths[0]

    label = normalised(match.video.label)
    for path in match.paths:
        folders = path.split("/")[:-1]
        if label in map(normalised, folders):
            return path
    return match.paths[0]


def _row(match: _Match, path: str) -> ListRow:
    """Return the row of a found video; times count in an uncut file only."""
    video = match.video
    row = ListRow(0, path, video.label, video.split, id=video.id)
    if match.is_uncut:
        row = row._replace(start=video.start, end=video.end)
    return row
