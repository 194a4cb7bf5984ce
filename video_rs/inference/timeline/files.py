"""A timeline as files: JSON for programs, CSV that is a list again, subtitles in SRT and WebVTT."""

import html
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from video_rs.inference.timeline.segments import Segment
from video_rs.inference.timeline.timeline import Timeline
from video_rs.inference.timeline.window_log import BestClasses
from video_rs.runtime.atomic import csv_text, replace_text, write_json
from video_rs.video.fetching import absolute_path

TOP = 5  # classes of a window in timeline.json
DIGITS = 6  # behind the point, of seconds and probabilities
COLUMNS = ("path", "start", "end", "label", "score", "unsure")


def timeline_dict(timeline: Timeline) -> dict[str, Any]:
    """Return what timeline.json holds.

    ``segments`` have ``start``, ``end`` (seconds), ``label``, ``score`` and ``unsure``. ``windows`` have ``start``,
    ``end`` and ``top``, the five best classes before smoothing, which is empty where a window could not be read.
    ``live`` has what became of a live stream.
    """
    live = {}
    if timeline.live is not None:
        live = {"live": asdict(timeline.live)}
    return {
        "video": timeline.video,
        **live,
        "start": _rounded(timeline.start),
        "end": _rounded(timeline.end),
        "stride": _rounded(timeline.stride),
        "smoothing": _rounded(timeline.smoothing),
        "on": timeline.rules.on,
        "off": timeline.rules.off,
        "shortest": timeline.rules.shortest,
        "threshold": timeline.threshold,
        "unread_windows": timeline.windows.unread,
        "unread": timeline.unread or None,
        "segments": [segment_dict(timeline, segment) for segment in timeline.segments],
        "windows": _window_dicts(timeline),
    }


def segment_dict(timeline: Timeline, segment: Segment) -> dict[str, Any]:
    """Return a segment as timeline.json has it."""
    return {
        "start": _rounded(segment.start),
        "end": _rounded(segment.end),
        "label": timeline.label_names[segment.label],
        "score": _rounded(segment.score),
        "unsure": timeline.is_unsure(segment.score),
    }


def _window_dicts(timeline: Timeline) -> list[dict[str, Any]]:
    windows = timeline.windows

    rows = []
    for number in range(len(windows)):
        rows.append(
            {
                "start": _rounded(windows.starts[number]),
                "end": _rounded(windows.ends[number]),
                "top": top_of(windows.best, number, timeline),
            }
        )
    return rows


def top_of(best: BestClasses, number: int, timeline: Timeline) -> list[dict[str, Any]]:
    """Return the five best classes of a window; nothing where it could not be read."""
    labels = best.labels[number, :TOP].tolist()
    scores = best.scores[number, :TOP].tolist()

    top = []
    for label, score in zip(labels, scores, strict=True):
        if not np.isnan(score):
            top.append({"label": timeline.label_names[label], "score": _rounded(score)})
    return top


def segments_csv(timeline: Timeline) -> str:
    """Return the segments as a CSV that is a list of segments as lists of videos are, with two columns more."""
    # A list's relative paths start from its own folder.
    video = timeline.video
    if timeline.live is None:
        video = absolute_path(video)

    rows = []
    for segment in timeline.segments:
        rows.append(
            (
                video,
                f"{segment.start:.3f}",
                f"{segment.end:.3f}",
                timeline.label_names[segment.label],
                f"{segment.score:.4f}",
                "yes" if timeline.is_unsure(segment.score) else "no",
            )
        )
    return csv_text(COLUMNS, rows)


def srt_text(timeline: Timeline) -> str:
    """Return the segments as SubRip subtitles."""
    cues = []
    for number, segment in enumerate(timeline.segments, 1):
        start = clock(segment.start, ",")
        end = clock(segment.end, ",")
        cues.append(f"{number}\n{start} --> {end}\n{caption(timeline, segment)}\n")
    return "\n".join(cues)


def vtt_text(timeline: Timeline) -> str:
    """Return the segments as WebVTT subtitles (https://www.w3.org/TR/webvtt1/)."""
    cues = ["WEBVTT\n"]
    for segment in timeline.segments:
        start = clock(segment.start, ".")
        end = clock(segment.end, ".")
        # In a cue, "<" begins a tag, "&" a character, and "-->" a time.
        text = html.escape(caption(timeline, segment), quote=False)
        cues.append(f"{start} --> {end}\n{text}\n")
    return "\n".join(cues)


def caption(timeline: Timeline, segment: Segment) -> str:
    """Return what a segment is called on the screen: its name and its score."""
    return f"{timeline.name(segment)} {segment.score:.0%}"


def clock(seconds: float, point: str) -> str:
    """Return ``01:02:03.456``, with ``point`` before the milliseconds."""
    whole_seconds, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, rest = divmod(whole_seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}{point}{milliseconds:03}"


TEXTS: dict[str, Callable[[Timeline], str]] = {
    "segments.csv": segments_csv,
    "segments.srt": srt_text,
    "segments.vtt": vtt_text,
}
"""The files beside timeline.json, and what makes their text."""


def write_files(folder: Path, timeline: Timeline) -> list[Path]:
    """Write timeline.json and the files of :data:`TEXTS`, each whole or not at all; return their paths."""
    paths = [folder / "timeline.json"]
    write_json(paths[0], timeline_dict(timeline))

    for name, make in TEXTS.items():
        paths.append(folder / name)
        replace_text(paths[-1], make(timeline))
    return paths


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)
