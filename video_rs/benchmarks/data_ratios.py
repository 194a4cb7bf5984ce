"""What is compared of the ways of reading clips."""

from collections.abc import Sequence

from video_rs.benchmarks.data_files import FOR_STRIDE, ORIGINALS, PREPARED
from video_rs.benchmarks.measuring import Row
from video_rs.benchmarks.subject import LIMIT, OURS, PEER, Subject


def data_ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Return ours over the limit (the fastest decoding alone), over the fastest peer, and prepared over originals.

    What was prepared for a stride is held against what was prepared without, too.
    """
    ratios: dict[str, float] = {}
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.subject.files, row.subject.frames), []).append(row)

    for (files, frames), group in groups.items():
        for ours, other in _pairs(group):
            name = f"{ours.subject.method} / {other.subject.method}, {files}, {frames} frames"
            ratios[name] = ours.clips_per_s / other.clips_per_s

        # Preparing files is ours, too: it is held against a peer that reads them as they came.
        if files != ORIGINALS:
            originals = groups.get((ORIGINALS, frames), [])
            ratios.update(_prepared_ratios(group, _fastest(originals, PEER), frames))
        if files == FOR_STRIDE:
            prepared = groups.get((PREPARED, frames), [])
            ratios.update(_stride_ratios(group, prepared, frames))
    return ratios


def _pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Return what is compared on one kind of files."""
    default = [row for row in rows if _is_default(row.subject)]
    pairs = []
    for row in rows:
        if row.subject.side != OURS:
            continue

        # Readers are held against the limit and the peers, other ways to use them against the default one.
        if row.subject.way == "loader" and row.subject.clips_per_video == 1:
            others = [_fastest(rows, LIMIT), _fastest(rows, PEER)]
        else:
            others = default
        pairs += [(row, other) for other in others if other is not None]
    return pairs


def _prepared_ratios(prepared: Sequence[Row], peer: Row | None, frames: int) -> dict[str, float]:
    """Return ours on prepared files over the fastest peer on the originals."""
    if peer is None:
        return {}
    ratios = {}
    for row in prepared:
        subject = row.subject
        is_repeated = subject.clips_per_video > 1
        if _is_default(subject) or is_repeated or subject.quick:
            name = f"{subject.method} on {subject.files} / {peer.subject.method} on originals, {frames} frames"
            ratios[name] = row.clips_per_s / peer.clips_per_s
    return ratios


def _stride_ratios(rows: Sequence[Row], prepared: Sequence[Row], frames: int) -> dict[str, float]:
    """Return ours on files for a stride over ours, as training reads by default, on those prepared without one."""
    ratios = {}
    defaults = [row for row in prepared if _is_default(row.subject)]
    for row in rows:
        if row.subject.side == OURS:
            method = f"{row.subject.method} on {row.subject.files}"
            for before in defaults:
                name = f"{method} / {before.subject.method} on {before.subject.files}, {frames} frames"
                ratios[name] = row.clips_per_s / before.clips_per_s
    return ratios


def _is_default(subject: Subject) -> bool:
    """Return whether a subject is what training does by default: DATA.DECODER auto takes PyAV."""
    return (subject.side, subject.way, subject.decoder) == (OURS, "loader", "pyav")


def _fastest(rows: Sequence[Row], side: str) -> Row | None:
    """Return the fastest row of a side."""
    candidates = [row for row in rows if row.subject.side == side]
    return max(candidates, key=lambda row: row.clips_per_s, default=None)
