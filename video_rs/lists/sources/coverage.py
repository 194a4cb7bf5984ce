"""An official list against the files that are there: rows to train on, and how much of the list they are."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from video_rs.lists.listing import SPLITS, Row
from video_rs.lists.sources.names import VideoIndex, normalised

_CLASSES_NAMED, _FILES_NAMED = 5, 3


class Listed(NamedTuple):
    """One video of an official list.

    ``start`` and ``end`` (seconds) count in a file named ``uncut`` only: one named in ``stems`` is cut already.
    """

    id: str
    label: str  # "": the list does not tell
    split: str  # train, val or test; "": listed, but not used
    stems: tuple[str, ...]  # names, without ending, that its file may have
    uncut: str = ""
    start: str = ""
    end: str = ""


@dataclass(frozen=True)
class Coverage:
    """What was found of a list.

    Attributes:
        listed: the list.
        rows: the found videos of a split, in the list's order; paths as in the index.
        missing: the videos of a split without a file.
        unlisted: files that the list does not name.
        copies: files beyond the first of a listed video.
        shared: videos counted as missing because their only file is another's too.
    """

    listed: Sequence[Listed]
    rows: list[Row]
    missing: list[Listed]
    unlisted: list[str]
    copies: int
    shared: int


class _Match(NamedTuple):
    item: Listed
    paths: list[str]
    uncut: bool = False


def match(listed: Sequence[Listed], index: VideoIndex, loose: bool = False) -> Coverage:
    """Find each video's file by its name; of several, the one in a folder of its class, then the first.

    ``loose`` also takes a file whose name agrees in letters and digits, if it is no other video's exactly.
    """
    matches = [_exact(item, index) for item in listed]
    known = {path for found in matches for path in found.paths}
    if loose:
        matches = [found if found.paths else _similar(found.item, index, known) for found in matches]
        known.update(path for found in matches for path in found.paths)
    chosen = [(found, _best(found)) for found in matches]
    owners = Counter(path for found, path in chosen if not found.uncut)
    rows, missing = [], []
    for found, path in chosen:
        if found.item.split and path and (found.uncut or owners[path] == 1):
            rows.append(_row(found, path))
        elif found.item.split:
            missing.append(found.item)
    used = {path for _, path in chosen if path}
    shared = sum(bool(item.split and path and owners[path] > 1) for (item, _, _), path in chosen)
    return Coverage(listed, rows, missing, [p for p in index.paths if p not in known], len(known - used), shared)


def _exact(item: Listed, index: VideoIndex) -> _Match:
    paths = [path for stem in item.stems for path in index.named(stem)]
    if not paths and item.uncut:
        return _Match(item, index.named(item.uncut), uncut=True)
    return _Match(item, paths)


def _similar(item: Listed, index: VideoIndex, known: set[str]) -> _Match:
    return _Match(item, [path for path in index.like(item.stems[0]) if path not in known])


def _best(found: _Match) -> str:
    if len(found.paths) < 2:
        return found.paths[0] if found.paths else ""
    label = normalised(found.item.label)
    in_class = (path for path in found.paths if label in map(normalised, path.split("/")[:-1]))
    return next(in_class, found.paths[0])


def _row(found: _Match, path: str) -> Row:
    item = found.item
    start, end = (item.start, item.end) if found.uncut else ("", "")
    return Row(0, path, item.label, item.split, start, end, item.id)


def summary(coverage: Coverage) -> list[str]:
    """Lines for people: found per split, the classes that miss most, and files that are left over."""
    total = Counter(item.split for item in coverage.listed)
    found = Counter(row.split for row in coverage.rows)
    lines = [
        f"{split}: {found[split]:,} of {total[split]:,} listed videos found ({_percent(found[split], total[split])} %)"
        for split in SPLITS
        if total[split]
    ]
    lines += _worst_classes(coverage)
    if total[""]:
        lines.append(f"not used by this split: {total['']:,} listed videos")
    if coverage.shared:
        lines.append(f"left out: {coverage.shared:,} listed videos whose only file is another one's too")
    if coverage.copies:
        lines.append(f"left out: {coverage.copies:,} further files of listed videos")
    if coverage.unlisted:
        files = "file" if len(coverage.unlisted) == 1 else "files"
        lines.append(f"found but not listed: {len(coverage.unlisted):,} {files} ({_first(coverage.unlisted)})")
    return lines


def _percent(found: int, total: int) -> str:
    tenths = 1000 * found // total  # rounded down: 100.0 means all
    return f"{tenths / 10:.1f}"


def _worst_classes(coverage: Coverage) -> list[str]:
    total = Counter(item.label for item in coverage.listed if item.split and item.label)
    missing = Counter(item.label for item in coverage.missing if item.label)
    worst = sorted(missing, key=lambda label: (-missing[label] / total[label], label))[:_CLASSES_NAMED]
    if not worst:
        return []
    return ["missing most: " + ", ".join(f"{label} ({missing[label]:,} of {total[label]:,})" for label in worst)]


def _first(paths: Iterable[str]) -> str:
    named = list(paths)[: _FILES_NAMED + 1]
    return ", ".join(named[:_FILES_NAMED]) + (", …" if len(named) > _FILES_NAMED else "")
