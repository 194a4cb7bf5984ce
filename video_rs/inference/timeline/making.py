"""The timeline of a file."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

from video_rs.data.dataset import VideoSource, record_span
from video_rs.inference.predictor import Predictor, part_of
from video_rs.inference.timeline.building import TimelineBuilder
from video_rs.inference.timeline.reading import FrameSource, FrameStream
from video_rs.inference.timeline.scoring import WindowScorer
from video_rs.inference.timeline.settings import TimelineSettings
from video_rs.inference.timeline.smoothing import windows_of
from video_rs.inference.timeline.timeline import Timeline
from video_rs.inference.timeline.window_log import WindowLog
from video_rs.inference.timeline.windows import SlidingWindows
from video_rs.lists.records import VideoRecord
from video_rs.video import VideoReader
from video_rs.video.segments import Span

Progress = Callable[[Iterable, int], Iterator]
"""Passes items on, of which there are so many, and shows how far they are."""


def no_progress(items: Iterable, total: int) -> Iterator:
    """Pass items on, and show nothing."""
    return iter(items)


@dataclass(frozen=True)
class Footage:
    """What a timeline needs to know of a video beside its frames.

    Attributes:
        video: as it was given.
        span: the frames to look at.
        begins: seconds of the video at which they begin.
    """

    video: str
    span: Span
    begins: float

    @classmethod
    def of(cls, reader: VideoReader, record: VideoRecord) -> Self:
        """Return that of the part of an open video that a record is of.

        Raises:
            DecodeError: the video has no frame in the part.
        """
        span = record_span(reader, record)
        return cls(record.path, span, _time_of(reader, span.first))


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
        stream = FrameStream(reader, predictor.preprocessing.transform)
        return timeline_of(predictor, Footage.of(reader, record), stream, settings, progress)


def timeline_of(
    predictor: Predictor,
    footage: Footage,
    source: FrameSource,
    settings: TimelineSettings,
    progress: Progress = no_progress,
) -> Timeline:
    """Return the timeline of a video whose frames come from ``source``; see :func:`make_timeline`."""
    answers = predictor.answers
    clip = predictor.preprocessing.clip
    span = footage.span
    stride, smoothing = settings.steps(clip, span.fps)
    rules = settings.rules(answers.threshold, answers.multi_label)
    windows = SlidingWindows(clip, span, stride, footage.begins)

    # From the file to segments, a window at a time: nothing is held that grows with the video but its best classes.
    scorer = WindowScorer.of(predictor, settings.crops)
    scored = scorer.score(source.clips(windows))
    log = WindowLog(len(answers.label_names))
    builder = TimelineBuilder(rules, windows_of(smoothing, stride), log)

    segments = []
    for window, row in progress(scored, len(windows)):
        segments += builder.add(window, row)
    segments += builder.finish()

    return Timeline(
        video=footage.video,
        start=windows.begins,
        end=windows.ends,
        fps=span.fps,
        label_names=answers.label_names,
        rules=rules,
        smoothing=smoothing,
        stride=stride,
        threshold=answers.threshold,
        windows=log.table(),
        segments=tuple(sorted(segments)),
        unread=source.unread.reason,
    )


def _time_of(reader: VideoReader, frame: int) -> float:
    """Return when a frame is shown, in seconds from the first one."""
    if reader.times is None:
        return frame / reader.fps
    return float(reader.times[frame])
