"""From windows with probabilities to a timeline, one window after the other; and the timeline of a file."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from video_rs.data.dataset import VideoSource, record_span
from video_rs.data.preprocessing import ClipSpec
from video_rs.inference.predictor import Predictor, part_of
from video_rs.inference.timeline.reading import FrameStream
from video_rs.inference.timeline.scoring import WindowScorer
from video_rs.inference.timeline.segments import Segment, SegmentRules, SegmentTracker, Slot
from video_rs.inference.timeline.smoothing import Row, Smoother, windows_of
from video_rs.inference.timeline.timeline import Timeline, WindowLog
from video_rs.inference.timeline.windows import SlidingWindows, Window
from video_rs.lists.records import VideoRecord
from video_rs.runtime.errors import InputError
from video_rs.video import VideoReader

ON = 0.5
OFF_TO_ON = 0.6
SHORTEST = 1.0

Progress = Callable[[Iterable, int], Iterator]
"""Passes items on, of which there are so many, and shows how far they are."""


@dataclass(frozen=True)
class TimelineSettings:
    """How a timeline is made. What is None follows from the checkpoint.

    Attributes:
        stride: seconds from the start of a window to that of the next; None: half a window.
        smoothing: seconds that probabilities are averaged over; None: a window. 0: not at all.
        on, off: probabilities at which a segment begins and ends; None for ``on``: the checkpoint's threshold, or 0.5;
            None for ``off``: 0.6 of ``on``.
        shortest: seconds that a segment lasts at least.
        crops: 1 or 3 of each window.
    """

    stride: float | None = None
    smoothing: float | None = None
    on: float | None = None
    off: float | None = None
    shortest: float = SHORTEST
    crops: int = 1

    def __post_init__(self):
        if self.stride is not None and not 0 < self.stride < float("inf"):
            raise InputError(f"--stride: got {self.stride:g}, allowed: seconds above 0")
        if self.smoothing is not None and not 0 <= self.smoothing < float("inf"):
            raise InputError(f"--smooth: got {self.smoothing:g}, allowed: seconds from 0")

    def rules(self, threshold: float | None, multi_label: bool) -> SegmentRules:
        """Return when segments begin and end.

        Args:
            threshold: of the checkpoint, below which an answer is unsure, or None.
            multi_label: whether several classes may be shown at a time.
        """
        on = self.on
        if on is None:
            # A threshold of 0 is none: every probability reaches it.
            on = threshold or ON

        off = self.off
        if off is None:
            off = OFF_TO_ON * on
        return SegmentRules(on, off, self.shortest, exclusive=not multi_label)

    def steps(self, clip: ClipSpec, fps: float) -> tuple[float, float]:
        """Return the stride and the seconds of smoothing for a video of ``fps`` frames per second."""
        window = clip.seconds(fps)

        stride = self.stride
        if stride is None:
            stride = window / 2

        smoothing = self.smoothing
        if smoothing is None:
            smoothing = window
        return stride, smoothing


class _Known(NamedTuple):
    """A window whose time is known, and that waits to be smoothed."""

    start: float
    end: float
    window: Window
    row: Row


class TimelineBuilder:
    """Takes windows in their order, and gives segments as soon as they have ended.

    Args:
        rules: by which segments are made.
        width: windows that are averaged, odd.
        log: takes all windows.
    """

    def __init__(self, rules: SegmentRules, width: int, log: WindowLog):
        self._smoother = Smoother(width)
        self._tracker = SegmentTracker(rules)
        self._log = log
        self._latest: tuple[Window, Row] | None = None
        self._latest_start = 0.0
        self._known: deque[_Known] = deque()
        self._smoothed: deque[Row] = deque()

    def add(self, window: Window, row: Row) -> list[Segment]:
        """Take the next window with its probabilities, or None; return the segments that have ended."""
        start = window.start
        if self._latest is not None:
            # A window speaks for the time that is nearer to its centre than to its neighbours'.
            before, _ = self._latest
            start = (before.centre + window.centre) / 2
            self._know_end(start)

        self._latest = window, row
        self._latest_start = start
        self._smoothed.extend(self._smoother.push(row))
        return self._track()

    def finish(self) -> list[Segment]:
        """Return the segments that have not ended yet. What comes next has no part in what came before."""
        if self._latest is not None:
            last, _ = self._latest
            self._know_end(last.end)
            self._latest = None

        self._smoothed.extend(self._smoother.finish())
        return self._track() + self._tracker.finish()

    def so_far(self) -> list[Segment]:
        """Return the segments that have not ended yet, as they are now."""
        return self._tracker.so_far()

    def _know_end(self, end: float) -> None:
        """Take over until when the latest window speaks."""
        window, row = self._latest
        self._known.append(_Known(self._latest_start, end, window, row))

    def _track(self) -> list[Segment]:
        """Return the segments that have ended, from the windows of which all is known."""
        ended = []
        while self._known and self._smoothed:
            known = self._known.popleft()
            smoothed = self._smoothed.popleft()

            self._log.add(known.window.start, known.window.end, known.row, smoothed)
            ended += self._tracker.push(Slot(known.start, known.end, smoothed))
        return ended


def no_progress(items: Iterable, total: int) -> Iterator:
    """Pass items on, and show nothing."""
    return iter(items)


def make_timeline(
    predictor: Predictor,
    video: str | os.PathLike,
    settings: TimelineSettings,
    start: float | None = None,
    end: float | None = None,
    progress: Progress = no_progress,
) -> Timeline:
    """Return the timeline of a file; its memory does not grow with the length of the file.

    Frames that cannot be decoded make windows without probabilities, which end the segments around them.

    Args:
        predictor: gives the probabilities.
        video: a path or a URL.
        settings: how the timeline is made.
        start, end: seconds of the part to look at; None: the video's own start and end.
        progress: shows how far the windows are.

    Raises:
        DecodeError: the file cannot be opened as a video, or has no frame in the part.
        InputError: a setting is out of range.
    """
    record = part_of(video, start, end)
    with VideoSource(predictor.decoder).open(record.path) as reader:
        return _timeline_of(predictor, reader, record, settings, progress)


def _timeline_of(
    predictor: Predictor, reader: VideoReader, record: VideoRecord, settings: TimelineSettings, progress: Progress
) -> Timeline:
    """Return the timeline of an open video."""
    answers = predictor.answers
    clip = predictor.preprocessing.clip
    stride, smoothing = settings.steps(clip, reader.fps)
    rules = settings.rules(answers.threshold, answers.multi_label)
    span = record_span(reader, record)
    windows = SlidingWindows(clip, span, stride, _time_of(reader, span.first))

    # From the file to segments, a window at a time: nothing is held that grows with the video but its best classes.
    scorer = WindowScorer.of(predictor, settings.crops)
    stream = FrameStream(reader, scorer.transform)
    scored = scorer.score(stream.clips(windows))
    log = WindowLog(len(answers.label_names))
    builder = TimelineBuilder(rules, windows_of(smoothing, stride), log)

    segments = []
    for window, row in progress(scored, len(windows)):
        segments += builder.add(window, row)
    segments += builder.finish()

    return Timeline(
        video=record.path,
        start=windows.begins,
        end=windows.ends,
        fps=reader.fps,
        label_names=answers.label_names,
        rules=rules,
        smoothing=smoothing,
        stride=stride,
        threshold=answers.threshold,
        windows=log.table(),
        segments=tuple(sorted(segments)),
        unread=stream.unread.reason,
    )


def _time_of(reader: VideoReader, frame: int) -> float:
    """Return when a frame is shown, in seconds from the first one."""
    if reader.times is None:
        return frame / reader.fps
    return float(reader.times[frame])
