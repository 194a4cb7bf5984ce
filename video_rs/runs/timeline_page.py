"""What the page of a timeline shows, from the timeline itself."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from video_rs.inference.timeline.timeline import Timeline
from video_rs.lists.records import VideoRecord
from video_rs.reports.timeline_page import Curve, Part, TimelinePage, timeline_panel, write_timeline_page
from video_rs.runtime.wording import pluralize
from video_rs.video.fetching import is_url

MOST_CURVES = 5


def write_page(path: Path, timeline: Timeline, film: str, truth: Sequence[VideoRecord] = ()) -> None:
    """Write the page of a timeline, whole or not at all.

    Args:
        path: of the page.
        timeline: what it shows.
        film: path or URL of the film; "": none is shown.
        truth: annotated segments of the video.
    """
    write_timeline_page(path, page_of(timeline, film_url(film, path.parent), truth))


def timeline_panel_of(timeline: Timeline) -> str:
    """Return a timeline as HTML for a part of another page."""
    return timeline_panel(page_of(timeline))


def page_of(timeline: Timeline, film: str = "", truth: Sequence[VideoRecord] = ()) -> TimelinePage:
    """Return what the page of a timeline shows.

    Args:
        timeline: of a video.
        film: URL of the film relative to the page; "": none is shown.
        truth: annotated segments of the video.
    """
    windows = timeline.windows
    return TimelinePage(
        title=f"Timeline of {os.path.basename(timeline.video) or timeline.video}",
        film=film,
        start=timeline.start,
        end=timeline.end,
        parts=found_parts(timeline),
        truth=true_parts(timeline, truth),
        times=windows.centres,
        curves=top_curves(timeline),
        levels=(timeline.rules.on, timeline.rules.off),
        facts=_facts(timeline),
        notes=notes_of(timeline),
    )


def film_url(film: str, folder: Path) -> str:
    """Return the URL of a film relative to a page in ``folder``."""
    if not film or is_url(film):
        return film
    # A file name may hold bytes that are no text.
    return quote(os.fsencode(Path(os.path.relpath(film, folder)).as_posix()))


def found_parts(timeline: Timeline) -> list[Part]:
    """Return the segments for the page."""
    parts = []
    for segment in timeline.segments:
        label = timeline.label_names[segment.label]
        unsure = timeline.is_unsure(segment.score)
        parts.append(Part(segment.start, segment.end, label, segment.score, unsure))
    return parts


def true_parts(timeline: Timeline, records: Sequence[VideoRecord]) -> list[Part]:
    """Return annotated segments for the page, as far as the timeline goes."""
    parts = []
    for record in records:
        start, end = timeline.part_of(record.start, record.end)
        if start < end:
            parts += [Part(start, end, timeline.label_names[label]) for label in record.labels]
    return parts


def top_curves(timeline: Timeline) -> list[Curve]:
    """Return the curves of the classes that have the most probability over the whole video."""
    smoothed = timeline.windows.smoothed
    totals = np.zeros(len(timeline.label_names))
    # The same class stands in many rows, and all of them count.
    np.add.at(totals, smoothed.labels, np.nan_to_num(smoothed.scores))

    best = np.argsort(-totals, kind="stable")[:MOST_CURVES]
    return [Curve(timeline.label_names[label], smoothed.curve(label)) for label in best.tolist()]


def _facts(timeline: Timeline) -> list[tuple[str, str]]:
    windows = timeline.windows
    length = 0.0
    if len(windows):
        length = float(np.median(windows.ends - windows.starts))
    facts = [
        ("Video", timeline.video),
        ("Windows", f"{len(windows)} of {length:.2f} s, one each {timeline.stride:.2f} s"),
        ("Smoothing", f"mean over {timeline.smoothing:.2f} s"),
        ("A segment begins at", f"{timeline.rules.on:.0%}"),
        ("A segment ends below", f"{timeline.rules.off:.0%}"),
        ("Shortest segment", f"{timeline.rules.shortest:g} s"),
    ]
    if timeline.threshold is not None:
        facts.append(("Unsure below", f"{timeline.threshold:.0%}"))
    return facts


def notes_of(timeline: Timeline) -> list[str]:
    """Return what could not be read of a video, if anything."""
    unread = timeline.windows.unread
    if not unread:
        return []
    return [f"{pluralize(unread, 'window')} could not be read; first: {timeline.unread}"]
