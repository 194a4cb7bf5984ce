"""Timelines of files: what happens when in each, as text on the screen, as files, and against annotated segments."""

import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from video_rs.inference.answer_text import shown, unread
from video_rs.inference.predictor import Predictor
from video_rs.inference.timeline.annotation import annotate
from video_rs.inference.timeline.files import write_files
from video_rs.inference.timeline.making import make_timeline
from video_rs.inference.timeline.segments import Segment
from video_rs.inference.timeline.settings import TimelineSettings
from video_rs.inference.timeline.timeline import Timeline
from video_rs.lists.chosen_videos import check_times
from video_rs.lists.records import VideoRecord
from video_rs.runs.timeline_evaluation import (
    evaluate_timelines,
    read_truth,
    report_evaluation,
    rows_of,
    rows_past_the_end,
    videos_to_judge,
)
from video_rs.runs.timeline_page import write_page
from video_rs.runtime.errors import InputError
from video_rs.runtime.outputs import keep_input, require_own
from video_rs.runtime.progress import (
    format_duration,
    frames_with_progress,
    print_line,
    print_notes,
    windows_with_progress,
)
from video_rs.runtime.wording import pluralize
from video_rs.video import DecodeError

ANNOTATED = "annotated.mp4"
MARK = "timeline.json"
"""Is written first: where it lies, the other files are of a timeline, too."""
OWN_FILES = ("segments.csv", "segments.srt", "segments.vtt", "report.html", ANNOTATED)


@dataclass(frozen=True)
class TimelineJob:
    """What to do with the videos of a call.

    Attributes:
        videos: paths or URLs.
        settings: how timelines are made.
        out: folder for the files; "": none are written.
        start, end: seconds of the part to look at; None: the video's own start and end.
        annotate: write a copy of each video with the labels drawn into it.
        against: list of annotated segments to compare with; "": none.
        split: rows of that list: train, val or test; "": val, or all rows of a list without splits.
    """

    videos: Sequence[str]
    settings: TimelineSettings = field(default_factory=TimelineSettings)
    out: str = ""
    start: float | None = None
    end: float | None = None
    annotate: bool = False
    against: str = ""
    split: str = ""

    def __post_init__(self):
        if self.annotate and not self.out:
            raise InputError("--annotate writes annotated.mp4 into the folder of --out; name one: --out FOLDER")
        if self.split and not self.against:
            raise InputError(f"--split {self.split} chooses rows of the list of --against; name one: --against LIST")
        if not all(self.videos):
            raise InputError("VIDEO is empty; name a file, a URL or a stream")
        if not self.videos and not self.against:
            raise InputError("no VIDEO; name one, or a list of annotated videos: --against LIST")
        check_times(self.start, self.end)


def run_timelines(predictor: Predictor, job: TimelineJob) -> None:
    """Make, print and write the timelines of files, and compare them with annotated segments where these are given.

    Raises:
        InputError: a setting is out of range, the folder cannot be written to, the list cannot be used, or a video
            could not be read; the others are done before that is raised.
    """
    # Settings that depend on the checkpoint are checked before a video is opened.
    job.settings.rules(predictor.answers.threshold, predictor.answers.multi_label)

    job = replace(job, videos=list(dict.fromkeys(job.videos)))
    if not job.against:
        _, failed = _make_timelines(predictor, job)
        if failed:
            raise unread(failed, len(job.videos))
        return

    # The list is read before hours of work.
    records = read_truth(job.against, job.split, predictor.answers.label_names)
    job = replace(job, videos=videos_to_judge(records, job.videos))
    made, failed = _make_timelines(predictor, job, records.records)
    if made:
        print_notes(rows_past_the_end(made, records, job.end is None))
        report_evaluation(evaluate_timelines(made, records, len(failed)), job.out)
    if failed:
        raise unread(failed, len(job.videos))


def _make_timelines(
    predictor: Predictor, job: TimelineJob, truth: Sequence[VideoRecord] = ()
) -> tuple[dict[str, Timeline], list[tuple[str, str]]]:
    """Return video -> its timeline, and (video, reason) of those that could not be read.

    Each timeline is printed and written as it is made.
    """
    folders = _folders(job)
    # Whether they can be written to is found out before hours of work.
    if job.out:
        for video, folder in folders.items():
            if job.annotate:
                keep_input("--annotate", folder / ANNOTATED, video)
            require_own("--out", folder, OWN_FILES, MARK)
        _make_folders(folders.values())

    made = {}
    failed = []
    for video in job.videos:
        began = time.perf_counter()
        try:
            timeline = make_timeline(predictor, video, job.settings, job.start, job.end, windows_with_progress)
        except DecodeError as error:
            print_line(f"{shown(video)}\n  error: {error.reason}")
            failed.append((video, error.reason))
            continue

        made[video] = timeline
        print_timeline(timeline, time.perf_counter() - began)

        if job.out:
            film = video
            if job.annotate:
                film = _write_annotated(folders[video] / ANNOTATED, timeline, predictor.decoder)
            print_paths(write_all(folders[video], timeline, film, rows_of(video, truth)))

    return made, failed


def _folders(job: TimelineJob) -> dict[str, Path]:
    """Return where the files of each video go: the folder of the call, or one in it for each of several videos."""
    out = Path(job.out)
    if len(job.videos) == 1:
        return {job.videos[0]: out}

    folders: dict[str, Path] = {}
    for video in job.videos:
        name = Path(video).stem or "video"
        folder = out / name

        # Videos of one name may lie in several folders.
        number = 2
        while folder in folders.values():
            folder = out / f"{name}_{number}"
            number += 1
        folders[video] = folder
    return folders


def write_all(folder: Path, timeline: Timeline, film: str, truth: Sequence[VideoRecord] = ()) -> list[Path]:
    """Write all files of a timeline, each whole or not at all; return their paths.

    Args:
        folder: of the files; made where it lacks.
        timeline: what is written.
        film: path or URL of what the page plays; "": nothing.
        truth: annotated segments, for the page.

    Raises:
        InputError: the folder cannot be written to.
    """
    try:
        paths = write_files(folder, timeline)
        paths.append(folder / "report.html")
        write_page(paths[-1], timeline, film, truth)
    except OSError as error:
        raise unwritable(folder, error) from error
    return paths


def unwritable(folder: Path, error: OSError) -> InputError:
    """Return the error for a folder that cannot be written to."""
    return InputError(f"--out {folder} cannot be written to ({error.strerror or error}); take another folder")


def print_paths(paths: Sequence[Path]) -> None:
    """Say where results are."""
    print_line(f"results: {'  '.join(map(str, paths))}")


def _make_folders(folders: Iterable[Path]) -> None:
    """Make the folders for the files.

    Raises:
        InputError: one of them cannot be made.
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise unwritable(folder, error) from error


def _write_annotated(path: Path, timeline: Timeline, decoder: str) -> str:
    """Write the copy with labels, and return what the page plays: the copy, or the video where there is none."""
    try:
        annotate(timeline, path, decoder, frames_with_progress)
    except DecodeError as error:
        # A frame that cannot be decoded is a gap in the timeline, but a copy cannot have one.
        print_line(f"  note: no {path.name}: {error.reason}")
        return timeline.video
    except OSError as error:
        raise unwritable(path.parent, error) from error
    return str(path)


def print_timeline(timeline: Timeline, seconds: float) -> None:
    """Print the segments of a video, and how long the work took beside the length of the video."""
    print_line(shown(timeline.video))
    for segment in timeline.segments:
        print_line(f"  {segment_line(timeline, segment)}")
    if not timeline.segments:
        print_line(f"  no segment: no class reaches {timeline.rules.on:g} for {timeline.rules.shortest:g} s")

    windows = timeline.windows
    print_line(
        f"  {pluralize(len(windows), 'window')} of {format_duration(timeline.seconds)} in {seconds:.1f} s, "
        f"{timeline.seconds / seconds:.1f} times as fast as it plays"
    )
    if windows.unread:
        print_line(f"  note: {pluralize(windows.unread, 'window')} could not be read; first: {timeline.unread}")


def segment_line(timeline: Timeline, segment: Segment) -> str:
    """Return a segment as a line: from when to when, its probability, its label."""
    label = timeline.label_names[segment.label]
    if timeline.is_unsure(segment.score):
        label = f"{timeline.name(segment)} ({label})"
    return f"{screen_clock(segment.start)} - {screen_clock(segment.end)}  {segment.score:7.2%}  {label}"


def screen_clock(seconds: float) -> str:
    """Return ``1:02:03.4``, or ``02:03.4`` where it is less than an hour."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    text = f"{minutes:02}:{tenths / 10:04.1f}"
    if hours:
        return f"{hours}:{text}"
    return text
