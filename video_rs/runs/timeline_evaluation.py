"""Timelines against a list of annotated segments: mAP at temporal IoU and accuracy by frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from video_rs.evaluation.frames import FrameCounts, count_frames, labels_at
from video_rs.evaluation.spans import Segments, joined_spans
from video_rs.evaluation.temporal import THRESHOLDS, JudgedVideo, map_interval, match_videos, summarize_matches
from video_rs.inference.timeline.timeline import Timeline
from video_rs.lists.records import RecordList, VideoRecord, read_records
from video_rs.runtime.atomic import write_json
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, print_notes
from video_rs.runtime.wording import pluralize
from video_rs.video.fetching import absolute_path


def read_truth(source: str, split: str, label_names: Sequence[str]) -> RecordList:
    """Return the rows of a list of annotated segments; a row without a label is time that shows none of the classes.

    Args:
        source: the list.
        split: train, val or test; "": val, or all rows of a list without splits.
        label_names: of the checkpoint.

    Raises:
        InputError: the list cannot be read, or has no splits although one is asked for.
    """
    records = read_records(
        source, split=split or "val", label_names=label_names, num_classes=len(label_names), require_labels=False
    )
    if split and not records.has_splits:
        raise InputError(f"{source} has no splits, and so no rows of the split {split!r}; leave --split out")
    print_notes(records.notes)
    if not any(record.labels for record in records.records):
        raise InputError(f"no row of {source} has a label, and so there is nothing to find; fill in the column label")
    _refuse_doubled(records)
    return records


def _refuse_doubled(records: RecordList) -> None:
    """Raise InputError where the same segment of the same class is annotated twice: one could never be found."""
    seen = set()
    for record in records.records:
        for label in record.labels:
            segment = (absolute_path(record.path), record.start, record.end, label)
            if segment in seen:
                raise InputError(
                    f"{records.source} has {record.id} as {records.label_names[label]!r} twice; remove one of the rows"
                )
            seen.add(segment)


def rows_past_the_end(timelines: Mapping[str, Timeline], records: RecordList, are_whole: bool) -> list[str]:
    """Return a sentence on rows that reach past the end of their videos, which are cut there or left out.

    Args:
        timelines: video -> its timeline.
        records: the annotated segments.
        are_whole: whether the videos were looked at up to their ends.

    Raises:
        InputError: nothing of any row was looked at.
    """
    late = []
    judged = 0
    for video, timeline in timelines.items():
        # A video's own end is where its last frame begins, in some lists.
        tolerance = 1 / timeline.fps
        for record in rows_of(video, records.records):
            start, end = timeline.part_of(record.start, record.end)
            judged += start < end
            if are_whole and record.end is not None and record.end > timeline.end + tolerance:
                late.append((record, timeline))
    if not judged:
        raise InputError(
            f"no row of {records.source} lies inside what was looked at of its video; are start and end in seconds, "
            "and of these videos?"
        )
    if not late:
        return []
    record, timeline = late[0]
    return [
        f"rows of {records.source} that end after their videos do, and count up to there: {len(late)}, first "
        f"{record.id} of {timeline.seconds:.2f} s; are start and end in seconds?"
    ]


def videos_to_judge(records: RecordList, videos: Sequence[str]) -> list[str]:
    """Return the videos to make timelines of, each once: those that are named, or all of the list where none is.

    Raises:
        InputError: a video that is named is not in the list.
    """
    if not videos:
        return list(dict.fromkeys(record.path for record in records.records))

    known = {absolute_path(record.path) for record in records.records}
    for video in videos:
        if absolute_path(video) not in known:
            raise InputError(
                f"{video} has no row in {records.source}, and cannot be compared with it; name videos of the list, or "
                "none for all of them"
            )
    # A video that is named in two ways would be judged twice.
    once: dict[str, str] = {}
    for video in videos:
        once.setdefault(absolute_path(video), video)
    return list(once.values())


def rows_of(video: str, records: Sequence[VideoRecord]) -> list[VideoRecord]:
    """Return the rows of a video."""
    place = absolute_path(video)
    return [record for record in records if absolute_path(record.path) == place]


def judged_video(timeline: Timeline, records: Sequence[VideoRecord]) -> JudgedVideo:
    """Return what was found in a video beside what its rows say; what lies outside of the timeline is left out."""
    truth = []
    annotated = []
    for record in records:
        start, end = timeline.part_of(record.start, record.end)
        if start >= end:
            continue

        annotated.append((start, end))
        for label in record.labels:
            truth.append((start, end, label, 1.0))

    found = []
    for segment in timeline.segments:
        # An unsure segment says that it may be none of the classes.
        if not timeline.is_unsure(segment.score):
            found.append((segment.start, segment.end, segment.label, segment.score))
    return JudgedVideo(Segments.of(found), Segments.of(truth), joined_spans(annotated))


def evaluate_timelines(timelines: Mapping[str, Timeline], records: RecordList, failed: int = 0) -> dict[str, Any]:
    """Return how well timelines fit annotated segments.

    Args:
        timelines: video -> its timeline, of at least one video.
        records: the annotated segments.
        failed: videos that could not be read, which have no part in the numbers.

    Returns:
        ``map`` (IoU -> mAP), ``mean_map`` over these IoU and its 95 % interval over videos (over the groups of the
        list, where it has a column ``group``; None for a single one), ``classes`` (class -> IoU -> average precision),
        ``frame_accuracy`` (segments against annotated frames), ``best_class_accuracy`` (the best
        class of the nearest window against frames that show a class), and what they are over.
    """
    judged = []
    groups = []
    by_segments = []
    by_windows = []
    for video, timeline in timelines.items():
        rows = rows_of(video, records.records)
        judged.append(judged_video(timeline, rows))
        # Videos of one group are no independent ones.
        groups.append(rows[0].group or video)

        segments, windows = _frame_counts(timeline, judged[-1])
        by_segments.append(segments)
        by_windows.append(windows)

    matched = match_videos(judged, THRESHOLDS)
    detection = summarize_matches(matched, THRESHOLDS)
    interval = map_interval(matched, THRESHOLDS, groups)
    between = None
    # Where all draws give the same, nothing is known of how far they spread.
    if interval is not None and interval.has_width:
        between = [_number(interval.low), _number(interval.high)]

    names = records.label_names
    classes = {}
    for column, label in enumerate(detection.labels):
        classes[names[label]] = _by_threshold(detection.precisions[:, column])

    frames = _total(by_segments)
    frames_with_class = _total(by_windows)
    return {
        "list": records.source,
        "videos": len(timelines),
        "failed": failed,
        "true_segments": sum(len(video.truth.spans) for video in judged),
        "found_segments": sum(len(video.found.spans) for video in judged),
        "map": _by_threshold(detection.maps),
        "mean_map": _number(detection.mean_map),
        "mean_map_interval": between,
        "classes": classes,
        "frame_accuracy": _number(frames.accuracy),
        "frames": frames.frames,
        "best_class_accuracy": _number(frames_with_class.accuracy),
        "frames_with_class": frames_with_class.frames,
    }


def _frame_counts(timeline: Timeline, video: JudgedVideo) -> tuple[FrameCounts, FrameCounts]:
    """Return the counts of annotated frames by segments, and of those that show a class by windows."""
    count = max(1, round(timeline.seconds * timeline.fps))
    times = timeline.start + (np.arange(count) + 0.5) / timeline.fps
    by_segments = count_frames(times, labels_at(times, video.found), video.truth, video.annotated)

    shows_class = joined_spans(video.truth.spans)
    by_windows = count_frames(times, timeline.best_classes_at(times), video.truth, shows_class)
    return by_segments, by_windows


def _total(counts: Sequence[FrameCounts]) -> FrameCounts:
    right = sum(count.right for count in counts)
    frames = sum(count.frames for count in counts)
    return FrameCounts(right, frames)


def _by_threshold(values: np.ndarray) -> dict[str, float | None]:
    return {f"{threshold:g}": _number(value) for threshold, value in zip(THRESHOLDS, values, strict=True)}


def _number(value: float) -> float | None:
    """Return a number as JSON has it, None where there is none."""
    if np.isnan(value):
        return None
    return round(float(value), 6)


def report_evaluation(metrics: Mapping[str, Any], out: str) -> None:
    """Print how well timelines fit, and write evaluation.json where there is a folder."""
    print_line(
        f"{pluralize(metrics['found_segments'], 'segment')} against {metrics['true_segments']} of "
        f"{pluralize(metrics['videos'], 'video')} in {metrics['list']}"
    )
    if metrics["failed"]:
        print_line(f"note: {pluralize(metrics['failed'], 'video')} could not be read: what follows is without them")

    print_line("IoU       " + "".join(f"{threshold:>7}" for threshold in metrics["map"]) + "   mean")
    print_line("mAP       " + "".join(map(_cell, metrics["map"].values())) + _cell(metrics["mean_map"]))
    if metrics["mean_map_interval"] is not None:
        low, high = metrics["mean_map_interval"]
        print_line(f"95 % interval of the mean over other videos: {low:.3f} to {high:.3f}")

    by_segments = _cell(metrics["frame_accuracy"]).strip()
    by_windows = _cell(metrics["best_class_accuracy"]).strip()
    print_line(
        f"frames: {by_segments} of {metrics['frames']} right by segments; best class of the window right in "
        f"{by_windows} of {metrics['frames_with_class']} that show one"
    )
    if out:
        path = Path(out) / "evaluation.json"
        write_json(path, metrics)
        print_line(f"results: {path}")


def _cell(value: float | None) -> str:
    if value is None:
        return "      -"
    return f"{value:7.3f}"
