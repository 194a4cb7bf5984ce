"""Findings on a row that follow from its own file alone."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from video_rs.curation.doctor.findings import Finding
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import pluralize
from video_rs.video.orientation import AS_STORED, Orientation
from video_rs.video.probing.probe import Probe
from video_rs.video.segments import Span, segment_span


class ClipReach(NamedTuple):
    """Over how many frames a clip reaches.

    Attributes:
        frames: number of frames.
        target_fps: rate of these frames, per second; 0: they are the frames of each video as they are.
    """

    frames: int
    target_fps: float = 0.0

    def frames_in(self, span: Span) -> int:
        """Return how many frames ``span`` has, counted as clips count them."""
        if self.target_fps:
            return span.frames_at(self.target_fps)
        return span.count

    def is_short(self, span: Span) -> bool:
        """Return whether ``span`` has fewer frames than a clip reaches over."""
        return self.frames_in(span) < self.frames

    def in_words(self, span: Span) -> str:
        """Return the frames of ``span`` and of a clip in words."""
        rate = ""
        if self.target_fps:
            rate = f" at {self.target_fps:g} per second"
        return f"{pluralize(self.frames_in(span), 'frame')}{rate}, a clip reaches over {self.frames}"


def file_findings(
    index: int, record: VideoRecord, probe: Probe, times: np.ndarray | None, reach: ClipReach
) -> Iterator[Finding]:
    """Give the findings on one row.

    Args:
        index: of the row in the data set.
        record: of the row.
        probe: of its file.
        times: seconds of the file's frames, where frame i is not at i / fps.
        reach: of a clip.
    """
    if probe.kind != "ok":
        yield Finding(probe.kind, index, probe.reason)
        return

    try:
        span = segment_span(probe.frames, probe.fps, record.start, record.end, times)
    except InputError as error:
        yield Finding("segment", index, str(error))
        return

    seconds = probe.frames / probe.fps
    if times is not None:
        seconds = float(times[-1]) + 1 / probe.fps
    # Times in a list are often rounded: a segment that ends a little after its video is as good as any.
    if record.end is not None and record.end > seconds + 1:
        yield Finding("past_end", index, f"to {record.end:g} s, the video is {seconds:.2f} s long")
    if reach.is_short(span):
        yield Finding("short", index, reach.in_words(span))

    yield from _presentation_findings(index, probe)

    # A header that states no number of frames states 0.
    if probe.variable_rate:
        yield Finding("variable_rate", index, f"{probe.fps:.3g} frames per second on average")
    if probe.header_frames not in (0, probe.frames):
        yield Finding("wrong_count", index, f"stated {probe.header_frames}, frames {probe.frames}")
    if not math.isclose(probe.sample_aspect, 1, abs_tol=0.01):
        yield Finding("pixel_aspect", index, f"{probe.sample_aspect:.3g} times as wide as high")
    for note in probe.notes:
        yield Finding(note.kind, index, note.detail)


def _presentation_findings(index: int, probe: Probe) -> Iterator[Finding]:
    """Give the findings on how the file is shown."""
    orientation = Orientation(probe.quarter_turns, probe.mirrored)
    if orientation != AS_STORED:
        kind = "mirrored" if probe.mirrored else "rotated"
        yield Finding(kind, index, orientation.describe())
    if probe.other_angle:
        yield Finding("other_angle", index, f"{probe.other_angle:.3g} degrees counter-clockwise")
    if probe.interlaced:
        yield Finding("interlaced", index, f"{probe.height} lines, {probe.fps:.3g} frames per second")
    if probe.hdr:
        yield Finding("hdr", index, f"{probe.hdr}, {probe.pixel_format}")
