"""What the doctor can find of a row, and all findings on a data set."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

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
"""Kinds of findings whose rows go to quarantine, and what they mean."""

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
"""Kinds of findings that are worth knowing, whose rows stay, and what they mean."""


class Finding(NamedTuple):
    """One finding on one row.

    Attributes:
        kind: a key of :data:`PROBLEMS` or :data:`NOTES`.
        row: index of the row in the data set.
        detail: what exactly was found.
    """

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
        counts: split -> class -> number of rows.
        rate_note: a sentence on videos whose rates differ, with the remedy; empty where they do not.
    """

    findings: tuple[Finding, ...]
    class_notes: tuple[str, ...]
    counts: Mapping[str, Counter[int]]
    rate_note: str = ""

    @property
    def quarantined(self) -> dict[int, Finding]:
        """The first problem of each row that has a problem, in the order of the rows."""
        first: dict[int, Finding] = {}
        for finding in self.findings:
            if finding.kind in PROBLEMS:
                first.setdefault(finding.row, finding)
        return first

    @property
    def clean(self) -> bool:
        """Whether no row has a problem."""
        return not self.quarantined

    def kinds(self) -> Counter[str]:
        """Return how many rows each kind of finding concerns."""
        return Counter(finding.kind for finding in self.findings)
