"""Prepare the videos of a list for training, in a folder that a later run can go on with."""

import os
import time
import uuid
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from video_rs.curation.copied_list import FAILURES, LIST, SourceList, read_source_list, write_copied_list
from video_rs.curation.file_workers import FileWorkers
from video_rs.curation.job_folder import UNFINISHED, FileCounts, refuse_foreign, taken
from video_rs.curation.prepare.ffmpeg_program import check_ffmpeg
from video_rs.curation.prepare.options import PrepareOptions
from video_rs.curation.prepare.places import (
    INSIDE,
    OUTSIDE,
    choose_targets,
    files_inside,
    is_up_to_date,
    time_of_change,
)
from video_rs.curation.prepare.reencoding import reencode
from video_rs.curation.prepare.settings import SETTINGS, FolderSettings, settle_settings
from video_rs.lists.text_files import is_utf8
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import print_line, print_notes, videos_with_progress
from video_rs.runtime.wording import pluralize
from video_rs.runtime.workers import Lost
from video_rs.video import DecodeError
from video_rs.video.fetching import absolute_path
from video_rs.video.location import Location


def run_preparation(options: PrepareOptions) -> FileCounts:
    """Write the videos, ``list.csv`` and ``failures.csv`` into a folder; a run that was killed is gone on with.

    Raises:
        InputError: a value is out of range, the list cannot be read, or the folder cannot be written, holds something
            else, was prepared with other settings, or is taken by another run.
    """
    workers = _workers(options)
    source = read_source_list(options.source, options.root)
    print_notes(source.notes)

    # What is written must not lie among what is read, nor over what somebody else has written.
    settings = _settings(options, source)
    folder = Path(os.path.abspath(options.output))
    _refuse_inside(folder, options.source)
    targets = choose_targets(source.paths, source.root, folder)
    read = [settings.list, *(Location.parse(path).file for path in targets)]
    refuse_foreign(folder, (INSIDE, OUTSIDE, LIST, FAILURES), SETTINGS, read)

    started = time.perf_counter()
    try:
        with taken(folder, "preparing videos in", lambda: settle_settings(folder, settings, options.overwrite)):
            wanted = {path: target for path, target in targets.items() if not is_up_to_date(path, target)}
            failures = _prepare(wanted, folder, settings, workers)
            _write_lists(folder, source, targets, failures)
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror or error}); mend that and run again") from error

    counts = FileCounts(done=len(wanted) - len(failures), skipped=len(targets) - len(wanted), failed=len(failures))
    copied = {path: target for path, target in targets.items() if path not in failures}
    _summarize(counts, copied, folder, time.perf_counter() - started)
    return counts


def _workers(options: PrepareOptions) -> FileWorkers:
    """Return the workers, after a look at all options."""
    options.check_encoding()
    workers = FileWorkers(options.processes, options.time_limit, options.path_handlers)
    workers.check_limits()
    options.check_program()
    if options.program == "ffmpeg":
        check_ffmpeg()
    workers.register_handlers()
    return workers


def _settings(options: PrepareOptions, source: SourceList) -> FolderSettings:
    """Return what the files of the folder will have in common."""
    return FolderSettings(
        list=absolute_path(options.source),
        root=source.root,
        short_side=options.short_side,
        stride=options.stride,
        keyframe_interval=options.interval,
        crf=options.crf,
        program=options.program,
    )


def _refuse_inside(folder: Path, source: str) -> None:
    """Raise InputError where copies would lie among the videos: the next walk of that folder would find each twice."""
    videos = os.path.realpath(source)
    if os.path.isdir(videos) and f"{os.path.realpath(folder)}/".startswith(f"{videos}/"):
        raise InputError(f"{folder} lies in {source}, whose videos are prepared; choose a folder beside it")


def _prepare(
    targets: Mapping[str, str], folder: Path, settings: FolderSettings, workers: FileWorkers
) -> dict[str, str]:
    """Prepare all files; return path -> reason of those that could not be prepared."""
    work = partial(prepare_file, unfinished=str(folder / UNFINISHED), settings=settings)

    failures = {}
    with workers.results(work, targets.items(), ahead=64 * workers.processes) as results:
        shown = videos_with_progress(results, len(targets), "preparing")
        for path, reason in zip(targets, shown, strict=True):
            if isinstance(reason, Lost):
                failures[path] = reason.reason
            elif reason:
                failures[path] = reason
    return failures


def prepare_file(source: str, target: str, unfinished: str, settings: FolderSettings) -> str:
    """Prepare one file; return "", or why it could not be prepared.

    Args:
        source: path or URL.
        target: absolute path of the copy.
        unfinished: folder for the file that is being written.
        settings: of the folder.

    Raises:
        OSError: the folder cannot be written.
    """
    if not is_utf8(target):
        return "its path is not UTF-8 text, which a list has to be; rename it"

    # Asked before the source is read: the next run finds a change in between.
    changed = time_of_change(source)
    temporary = os.path.join(unfinished, f"{uuid.uuid4().hex}.mp4")
    try:
        reencode(
            source,
            temporary,
            short_side=settings.short_side,
            keyframe_interval=settings.keyframe_interval,
            crf=settings.crf,
            stride=settings.stride,
            program=settings.program,
        )
    except DecodeError as error:
        return error.reason
    except InputError as error:
        return str(error)

    # The copy has its source's time before it appears: it is never taken for up to date by chance.
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if changed is not None:
            os.utime(temporary, ns=(changed, changed))
        os.replace(temporary, target)
    except OSError as error:  # such as a name that has become too long
        return f"cannot write {target}: {error.strerror}"
    return ""


def _write_lists(folder: Path, source: SourceList, targets: Mapping[str, str], failures: Mapping[str, str]) -> None:
    """Write the list of the copies, and the files that have none."""
    places = {}
    for path, target in targets.items():
        if path not in failures:
            places[path] = os.path.relpath(target, folder)
    write_copied_list(folder, source, places, failures)


def _summarize(counts: FileCounts, copied: Mapping[str, str], folder: Path, seconds: float) -> None:
    """Print what a person reads at the end.

    Args:
        counts: of the run.
        copied: path -> target of the files that have a copy.
        folder: that was prepared.
        seconds: that the run took.
    """
    # Originals may be gone, and then there is nothing to compare a copy with.
    before = 0
    after = 0
    for path, target in copied.items():
        if os.path.exists(Location.parse(path).file):
            before += _size(path)
            after += _size(target)

    tried = counts.done + counts.failed
    rate = f", {tried / seconds:.2f} files/s" if tried else ""
    print_line(
        f"{pluralize(counts.done, 'file')} prepared, {counts.skipped} skipped (done before), {counts.failed} failed"
        f"{rate}; {before / 1e6:.1f} MB are now {after / 1e6:.1f} MB"
    )
    if counts.failed:
        print_line(f"failed, and left out of the list: {folder / FAILURES}")
    print_line(f"list: {folder / LIST}")


def _size(path: str) -> int:
    """Return the bytes of a file, of a part of a file, or of a folder's frames."""
    if os.path.isdir(path):
        return sum(map(os.path.getsize, files_inside(path)))
    return Location.parse(path).bytes()
