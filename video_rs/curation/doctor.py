"""What is wrong with a data set, from its lists and what probing its files found. No file is opened here."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from video_rs.lists.classes import alike_names_notes, empty_classes_note
from video_rs.lists.listing import SPLITS
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import counted
from video_rs.video.orientation import AS_STORED, Orientation
from video_rs.video.probing.probe import Probe
from video_rs.video.segments import Span, segment_span

# A rate is far from the middle one by more than this factor: 24, 25 and 30 frames per second count as alike.
OTHER_RATE = 1.4
# Up to this share of the videos may have such a rate without a word.
FEW_RATES = 0.01

# Rows with one of these go to quarantine.
PROBLEMS = {
    "row": "its label, path or times cannot be used",
    "missing": "there is no such file",
    "empty": "nothing is in the file",
    "truncated": "the file ends before its own index says",
    "unreadable": "it does not open as a video",
    "damaged": "a frame cannot be decoded",
    "hung": "its decoder took longer than the time limit",
    "crashed": "its decoder took the process down with it",
    "segment": "the segment lies behind the end of the video",
    "conflict": "the same video is listed with other labels",
    "leak": "the same video is in the validation or test rows too",
}
# Rows with these stay; they are worth knowing.
NOTES = {
    "duplicate": "the same video and segment is listed again in its split",
    "short": "fewer frames than a clip reaches over",
    "past_end": "the segment goes on for more than a second after the video",
    "rotated": "shown turned, as its display matrix says",
    "mirrored": "shown mirrored, as its display matrix says",
    "other_angle": "its display matrix turns by no quarter turn; read as stored",
    "interlaced": "a frame holds two fields; what moves has edges like a comb",
    "hdr": "its brightness is that of a high dynamic range; read without tone mapping, it looks pale",
    "variable_rate": "the time between frames varies; clips count frames, not seconds, unless DATA.TARGET_FPS is set",
    "wrong_count": "the container's header, or the numbers of the pictures, state another number of frames",
    "pixel_aspect": "pixels are not square; they are read as stored",
    "size_change": "the size changes inside the video; all frames are scaled to the size of the first",
    "cut": "the file was cut; what is left of it is the video",
    "counted": "its packets do not tell its frames: they are counted by decoding, once; prepared files open at once",
    "times": "its times contradict the order of its frames",
    "streams": "several films in one file: the one that moves is read, of those the larger, then the longer one",
}


class Row(NamedTuple):
    """One row of the data set.

    One that cannot be used says why as ``fault``; its record has the path as listed and nothing else, and ``label`` is
    what the list says.
    """

    split: str  # as listed; "" where the list has no splits
    record: VideoRecord
    fault: str = ""
    label: str = ""


class Finding(NamedTuple):
    """One thing about one row; ``kind`` is of :data:`PROBLEMS` or :data:`NOTES`."""

    kind: str
    row: int
    detail: str


@dataclass(frozen=True)
class Diagnosis:
    """All findings, and what they mean for the data set.

    Attributes:
        findings: in the order of the rows.
        class_notes: sentences on how the lists were read, on splits that nothing reads, on rows without a label, and on
            classes: without training rows, with a single video, with names that look alike.
        counts: class -> number of rows, for each split.
        rate_note: a sentence on videos whose rates differ, with the remedy; empty where they do not.
    """

    findings: tuple[Finding, ...]
    class_notes: tuple[str, ...]
    counts: dict[str, Counter]
    rate_note: str = ""

    @property
    def quarantined(self) -> dict[int, Finding]:
        """The first problem of each row that has one, in the order of the rows."""
        first: dict[int, Finding] = {}
        for finding in self.findings:
            if finding.kind in PROBLEMS:
                first.setdefault(finding.row, finding)
        return first

    @property
    def clean(self) -> bool:
        """Whether no row has a problem."""
        return not self.quarantined

    def kinds(self) -> Counter:
        """How many rows each kind of finding concerns."""
        return Counter(finding.kind for finding in self.findings)


class Reach(NamedTuple):
    """Over how many ``frames`` a clip reaches: of a rate of ``target_fps``, or where that is 0 of each video's own."""

    frames: int
    target_fps: float = 0.0

    def of(self, span: Span) -> int:
        """Return how many frames ``span`` has, counted as clips count them."""
        return span.frames_at(self.target_fps) if self.target_fps else span.count

    def is_short(self, span: Span) -> bool:
        """Return whether ``span`` has fewer frames than a clip reaches over."""
        return self.of(span) < self.frames

    def told(self, span: Span) -> str:
        """Return both numbers in words."""
        rate = f" at {self.target_fps:g} per second" if self.target_fps else ""
        return f"{counted(self.of(span), 'frame')}{rate}, a clip reaches over {self.frames}"


def diagnose(
    rows: Sequence[Row],
    probes: Mapping[str, Probe],
    names: Sequence[str],
    clip_reach: int = 1,
    times: Mapping[str, np.ndarray] | None = None,
    notes: Sequence[str] = (),
    target_fps: float = 0.0,
) -> Diagnosis:
    """All findings.

    Args:
        rows: of all splits.
        probes: by the records' path; none of rows with a fault.
        names: of the classes.
        clip_reach: frames that a training clip spans; a video with fewer is "short".
        times: by the records' path, seconds of the frames of videos whose frame i is not at i / fps.
        notes: on how the lists were read; they come first among the notes on classes.
        target_fps: frames per second that clips count in, and ``clip_reach`` with them; 0: each video's own frames.
    """
    times = times or {}
    reach = Reach(clip_reach, target_fps)
    findings = [
        finding
        for i, row in enumerate(rows)
        if not row.fault
        for finding in _of_file(i, row, probes[row.record.path], times.get(row.record.path), reach)
    ]
    findings += [Finding("row", i, row.fault) for i, row in enumerate(rows) if row.fault]
    findings += _of_content(rows, probes)
    counts: dict[str, Counter] = defaultdict(Counter)
    for row in rows:
        counts[row.split].update(row.record.labels)
    unlabelled = sum(not (row.fault or row.record.labels) for row in rows)
    of_classes = (*notes, *filter(None, _class_notes(counts, names, unlabelled)))
    of_rates = "" if target_fps else _rate_note(probes)
    return Diagnosis(tuple(sorted(findings, key=lambda f: f.row)), of_classes, dict(counts), of_rates)


def _of_file(index: int, row: Row, probe: Probe, times: np.ndarray | None, reach: Reach) -> Iterable[Finding]:
    if probe.kind != "ok":
        yield Finding(probe.kind, index, probe.reason)
        return
    record = row.record
    try:
        span = segment_span(probe.frames, probe.fps, record.start, record.end, times)
    except InputError as error:
        yield Finding("segment", index, str(error))
        return
    seconds = probe.frames / probe.fps if times is None else float(times[-1]) + 1 / probe.fps
    if record.end is not None and record.end > seconds + 1:
        yield Finding("past_end", index, f"to {record.end:g} s, the video is {seconds:.2f} s long")
    if reach.is_short(span):
        yield Finding("short", index, reach.told(span))
    yield from _of_presentation(index, probe)
    if probe.variable_rate:
        yield Finding("variable_rate", index, f"{probe.fps:.3g} frames per second on average")
    if probe.header_frames not in (0, probe.frames):
        yield Finding("wrong_count", index, f"stated {probe.header_frames}, frames {probe.frames}")
    if not math.isclose(probe.sample_aspect, 1, abs_tol=0.01):
        yield Finding("pixel_aspect", index, f"{probe.sample_aspect:.3g} times as wide as high")
    for note in probe.notes:
        yield Finding(note.kind, index, note.detail)


def _of_presentation(index: int, probe: Probe) -> Iterable[Finding]:
    """Findings on how the file is shown."""
    orientation = Orientation(probe.quarter_turns, probe.mirrored)
    if orientation != AS_STORED:
        yield Finding("mirrored" if probe.mirrored else "rotated", index, orientation.describe())
    if probe.other_angle:
        yield Finding("other_angle", index, f"{probe.other_angle:.3g} degrees counter-clockwise")
    if probe.interlaced:
        yield Finding("interlaced", index, f"{probe.height} lines, {probe.fps:.3g} frames per second")
    if probe.hdr:
        yield Finding("hdr", index, f"{probe.hdr}, {probe.pixel_format}")


def _rate_note(probes: Mapping[str, Probe]) -> str:
    """Return a sentence where some videos are considerably faster or slower than the middle one."""
    # Neither a folder of pictures nor a single frame has a rate of its own.
    rates = sorted(p.fps for p in probes.values() if p.kind == "ok" and p.container != "folder" and p.frames > 1)
    if not rates:
        return ""
    middle = rates[len(rates) // 2]
    other = [rate for rate in rates if max(rate / middle, middle / rate) > OTHER_RATE]
    if len(other) <= FEW_RATES * len(rates):
        return ""
    return (
        f"the videos have {rates[0]:.3g} to {rates[-1]:.3g} frames per second, {len(other)} of {len(rates)} far from "
        f"the middle of {middle:.3g}, and clips count frames; DATA.TARGET_FPS {middle:.3g} makes them span the same "
        "seconds of each"
    )


def _of_content(rows: Sequence[Row], probes: Mapping[str, Probe]) -> Iterable[Finding]:
    """Findings on rows that show the same file, or files of equal content."""
    same: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        probe = None if row.fault else probes[row.record.path]
        if probe and probe.kind == "ok":
            same[probe.fingerprint or row.record.path].append(i)
    for group in same.values():
        if len(group) > 1:
            yield from _of_copies(rows, group)


def _of_copies(rows: Sequence[Row], group: list[int]) -> Iterable[Finding]:
    for i in group:
        row, others = rows[i], [rows[j] for j in group if j != i]
        same = [other for other in others if _segment(other) == _segment(row)]
        conflicting = [other for other in same if _contradict(other, row)]
        held_out = [other for other in others if _leaks(row.split, other.split) and _overlap(other, row)]
        twins = [other for other in same if other.split == row.split]
        if conflicting:
            yield Finding("conflict", i, f"as {conflicting[0].record.path}")
        elif held_out:
            yield Finding("leak", i, f"as {held_out[0].record.path} in {held_out[0].split}")
        elif twins:
            yield Finding("duplicate", i, f"as {twins[0].record.path}")


def _contradict(one: Row, other: Row) -> bool:
    """Whether two rows have other labels, in whichever order; one without labels says nothing."""
    labels, others = set(one.record.labels), set(other.record.labels)
    return bool(labels and others) and labels != others


def _leaks(split: str, other: str) -> bool:
    """Whether a video of a split must not be in the other one, which comes later: train, val, test."""
    return split in SPLITS and other in SPLITS[SPLITS.index(split) + 1 :]


def _segment(row: Row) -> tuple[float, float]:
    return row.record.start or 0.0, math.inf if row.record.end is None else row.record.end


def _overlap(one: Row, other: Row) -> bool:
    (start, end), (other_start, other_end) = _segment(one), _segment(other)
    return start < other_end and other_start < end


def _class_notes(counts: Mapping[str, Counter], names: Sequence[str], unlabelled: int) -> Iterable[str]:
    for split in sorted(set(counts) - {"", *SPLITS}):
        yield f"no tool reads the split {split!r}; call it {', '.join(SPLITS[:-1])} or {SPLITS[-1]}"
    total = sum(counts.values(), Counter())
    if "train" in counts:
        yield empty_classes_note(counts["train"], names, "training rows")
    else:
        yield empty_classes_note(total, names, "rows")
    if unlabelled and total:
        yield (
            f"{unlabelled} {'rows have' if unlabelled > 1 else 'row has'} no label: videos of no class with "
            "DATA.MULTI_LABEL, else refused; fill them in, or remove them"
        )
    for label in sorted(label for label, count in total.items() if count == 1):
        yield f"class {names[label]!r} has a single video"
    yield from alike_names_notes([names[label] for label in sorted(total)])
