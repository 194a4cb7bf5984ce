"""Prepare videos for training: each file of a list once more, small, and quick to read from anywhere inside it."""

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from video_rs.curation.reencoding import PROGRAMS, check_ffmpeg, reencode
from video_rs.curation.work_folder import UNFINISHED, refuse_foreign, taken
from video_rs.lists.listing import Row, read_listing
from video_rs.lists.records import VideoRecord, records_of
from video_rs.runtime.atomic import write_csv, write_json
from video_rs.runtime.errors import InputError
from video_rs.runtime.processes import Lost, check_limits, in_processes
from video_rs.runtime.progress import say, say_notes, videos_with_progress
from video_rs.runtime.wording import counted
from video_rs.video import DecodeError
from video_rs.video.fetching import absolute_path, is_url, register_handlers, with_handlers
from video_rs.video.location import Location

SETTINGS = "prepared.json"
# What stands in the folder besides: videos of the root, and videos from elsewhere.
_INSIDE, _OUTSIDE = "videos", "outside"
_OURS = (_INSIDE, _OUTSIDE, "list.csv", "failures.csv")


@dataclass(frozen=True)
class Settings:
    """What the files of a folder have in common; see :func:`run_preparation`."""

    list: str
    root: str
    short_side: int
    keyframe_interval: int
    crf: int
    program: str


@dataclass(frozen=True)
class Outcome:
    """Files, each counted once: prepared now, there already, and not to be prepared."""

    done: int
    skipped: int
    failed: int


def run_preparation(
    source: str,
    output: str,
    *,
    root: str = "",
    short_side: int = 320,
    keyframe_interval: int = 12,
    crf: int = 18,
    program: str = "pyav",
    processes: int = 1,
    time_limit: float = 600.0,
    overwrite: bool = False,
    path_handlers: Sequence[str] = (),
) -> Outcome:
    """Writes the videos, ``list.csv`` and ``failures.csv`` into a folder; a run that was killed is gone on with.

    Args:
        source: list file, or folder of class folders.
        output: the folder.
        root: as DATA.ROOT.
        short_side, keyframe_interval, crf, program: as for :func:`video_rs.curation.reencoding.reencode`.
        processes: files prepared at once.
        time_limit: seconds for one file.
        overwrite: makes all files of the folder again where it was prepared with other settings, or with these.
        path_handlers: as :class:`video_rs.data.dataset.VideoSource` has them.

    Raises:
        InputError: a value out of range, a list that cannot be read, a folder that holds something else, that was
            prepared otherwise, that another run is at work in, or that cannot be written.
    """
    _check(short_side, keyframe_interval, crf, program, processes, time_limit)
    register_handlers(path_handlers)
    rows, records, base = _read(source, root)
    settings = Settings(absolute_path(source), base, short_side, keyframe_interval, crf, program)
    folder = Path(os.path.abspath(output))
    _refuse_inside(folder, source)
    targets = _targets((absolute_path(record.path) for record in records), base, folder)
    refuse_foreign(folder, _OURS, SETTINGS, [settings.list, *(Location.parse(path).file for path in targets)])
    started = time.perf_counter()
    try:
        with taken(folder, "preparing videos in", lambda: _settle(folder, settings, overwrite)):
            wanted = {path: target for path, target in targets.items() if not _is_done(path, target)}
            failures = dict(_prepare(wanted, folder, settings, processes, time_limit, path_handlers))
            _write_lists(folder, rows, records, targets, failures)
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror or error}); mend that and run again") from error
    outcome = Outcome(len(wanted) - len(failures), len(targets) - len(wanted), len(failures))
    _summarize(outcome, targets, failures, folder, time.perf_counter() - started)
    return outcome


def _refuse_inside(folder: Path, source: str) -> None:
    """InputError where new files would lie among the videos: whoever walks that folder next would find each twice."""
    videos = os.path.realpath(source)
    if os.path.isdir(videos) and f"{os.path.realpath(folder)}/".startswith(f"{videos}/"):
        raise InputError(f"{folder} lies in {source}, whose videos are prepared; choose a folder beside it")


def _check(short_side: int, keyframe_interval: int, crf: int, program: str, processes: int, time_limit: float) -> None:
    if short_side < 2 or short_side % 2:
        raise InputError(f"--short-side: got {short_side}, allowed: even numbers from 2 (pixels)")
    if keyframe_interval < 1:
        raise InputError(f"--keyframe-interval: got {keyframe_interval}, allowed: from 1 (frames)")
    if not 0 <= crf <= 51:
        raise InputError(f"--crf: got {crf}, allowed: 0 (lossless, large) to 51")
    check_limits(processes, time_limit)
    if program not in PROGRAMS:
        raise InputError(f"--program: got {program!r}, allowed: {', '.join(PROGRAMS)}")
    if program == "ffmpeg":
        check_ffmpeg()


# Which files, and where to


def _read(source: str, root: str) -> tuple[list[Row], list[VideoRecord], str]:
    """The rows as written, each row's record, and the root."""
    listing = read_listing(source, root, require_labels=False)
    found = records_of(listing, source)
    say_notes(found.notes)
    return listing.rows, list(found.records), listing.root


def _targets(paths: Iterable[str], root: str, folder: Path) -> dict[str, str]:
    """Where each file goes. InputError where two would go to one place."""
    targets = {path: str(folder / _place(path, root)) for path in dict.fromkeys(paths)}
    taken: dict[str, str] = {}
    for path, target in targets.items():
        other = taken.setdefault(target, path)
        if other != path:
            raise InputError(f"{other} and {path} would both become {target}; rename one of them")
    return targets


def _place(path: str, root: str) -> str:
    """The tree stays as it was. ``a.avi`` becomes ``a.avi.mp4``: there may be an ``a.mp4``, which keeps its name.

    A URL ``http://host/a.mp4`` from elsewhere is a file of the folder ``http/host``.
    """
    root = root.rstrip("/")
    if path.startswith(f"{root}/"):
        part, place = _INSIDE, path.removeprefix(root)
    else:
        part, place = _OUTSIDE, path.replace("://", "/")
    place = os.path.join(part, os.path.normpath(f"/{place}").lstrip("/"))  # "/": no ".." of a URL may lead out
    return place if place.endswith(".mp4") else f"{place}.mp4"


def _is_done(path: str, target: str) -> bool:
    """Whether the target is there, and made of its source as it is now; of one that is gone, or a URL, as it was."""
    try:
        made = os.stat(target)
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return False
    changed = _changed(path)
    return made.st_size > 0 and (changed is None or _is_time(made.st_mtime_ns, changed))


def _changed(path: str) -> int | None:
    """When a source changed last, in ns; a folder of frames, when the last of them did. None: gone, or a URL.

    The target gets this as its own time. Were it enough that it is the later one, an older file that takes the
    source's place would go unnoticed.
    """
    if is_url(path):
        return None
    try:
        return max(os.stat(file).st_mtime_ns for file in [Location.parse(path).file, *_inside(path)])
    except (OSError, ValueError):
        return None


def _inside(path: str) -> list[str]:
    """The files of a folder of frames; of a file, or of a folder that may not be read, none."""
    try:
        return [entry.path for entry in os.scandir(path) if entry.is_file()]
    except OSError:
        return []


def _is_time(kept: int, wanted: int) -> bool:
    """Whether a file system that was given the second keeps it as the first, in ns, in us, ... or in whole seconds."""
    return any(kept % unit == 0 and abs(kept - wanted) < unit for unit in (10**digits for digits in range(10)))


# The folder


def _settle(folder: Path, settings: Settings, overwrite: bool) -> None:
    """Compares the settings with the folder's, or makes them its own."""
    before = _settings_of(folder)
    if before is not None and not overwrite:
        _refuse_others(folder, before, asdict(settings))
        return
    if before is not None:
        # The old files go before the old settings: whenever this stops, files and settings are of one kind.
        for name in (_INSIDE, _OUTSIDE):
            if (folder / name).is_dir():
                shutil.rmtree(folder / name)
    write_json(folder / SETTINGS, asdict(settings))


def _settings_of(folder: Path) -> dict | None:
    path = folder / SETTINGS
    if not path.exists():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} does not hold settings ({error}); choose another folder") from error


def _refuse_others(folder: Path, before: Mapping, now: Mapping) -> None:
    changed = [f"{name} {before.get(name)}, now {value}" for name, value in now.items() if before.get(name) != value]
    if changed:
        raise InputError(
            f"{folder} was prepared with {'; '.join(changed)}: give what it was, another folder, or --overwrite to "
            "make all its videos again"
        )


# The work


def _prepare(
    targets: Mapping[str, str],
    folder: Path,
    settings: Settings,
    processes: int,
    time_limit: float,
    path_handlers: Sequence[str],
) -> Iterator[tuple[str, str]]:
    """Path and reason of each file that could not be prepared."""
    work = partial(prepare_file, unfinished=str(folder / UNFINISHED), settings=settings)
    work = partial(with_handlers, path_handlers, work)
    stream = in_processes(work, targets.items(), processes=processes, time_limit=time_limit, ahead=64 * processes)
    with closing(stream) as results:
        shown = videos_with_progress(results, len(targets), "preparing")
        for path, reason in zip(targets, shown, strict=True):
            if reason:
                yield path, reason.reason if isinstance(reason, Lost) else reason


def prepare_file(source: str, target: str, unfinished: str, settings: Settings) -> str:
    """Prepares one file: "", or why not. OSError where the folder cannot be written."""
    if not _is_text(target):
        return "its path is not UTF-8 text, which a list has to be; rename it"
    temporary = os.path.join(unfinished, f"{uuid.uuid4().hex}.mp4")
    changed = _changed(source)  # asked before it is read: a change in between is found by the next run
    options = {"short_side": settings.short_side, "keyframe_interval": settings.keyframe_interval}
    try:
        reencode(source, temporary, crf=settings.crf, program=settings.program, **options)
    except DecodeError as error:
        return error.reason
    except InputError as error:
        return str(error)
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if changed is not None:
            os.utime(temporary, ns=(changed, changed))
        os.replace(temporary, target)
    except OSError as error:  # such as a name that has become too long
        return f"cannot write {target}: {error.strerror}"
    return ""


def _is_text(path: str) -> bool:
    """Whether a path is UTF-8: bytes that are not reach Python as lone surrogates."""
    return path.encode("utf-8", "replace") == path.encode("utf-8", "surrogateescape")


# What is left


def _write_lists(
    folder: Path,
    rows: Sequence[Row],
    records: Sequence[VideoRecord],
    targets: Mapping[str, str],
    failures: Mapping[str, str],
) -> None:
    """``list.csv``, in the order and with the columns of the source, and ``failures.csv``.

    The ids stay those of the source: what stands for an absent one is the path, which is another one here.
    """
    used = [name for name in Row._fields[2:-1] if any(getattr(row, name) for row in rows)]
    columns = ["path", *used, "id"]
    kept = [
        row._replace(path=os.path.relpath(targets[path], folder), id=record.id)
        for row, record in zip(rows, records, strict=True)
        if (path := absolute_path(record.path)) not in failures
    ]
    write_csv(folder / "list.csv", columns, ([getattr(row, name) for name in columns] for row in kept))
    write_csv(folder / "failures.csv", ["path", "reason"], failures.items())


def _summarize(
    outcome: Outcome, targets: Mapping[str, str], failures: Mapping[str, str], folder: Path, seconds: float
) -> None:
    """What a person reads at the end."""
    there = [
        pair for pair in targets.items() if pair[0] not in failures and os.path.exists(Location.parse(pair[0]).file)
    ]
    before, after = (sum(_size(pair[side]) for pair in there) / 1e6 for side in (0, 1))
    tried = outcome.done + outcome.failed
    rate = f", {tried / seconds:.2f} files/s" if tried else ""
    say(
        f"{counted(outcome.done, 'file')} prepared, {outcome.skipped} skipped (done before), {outcome.failed} failed"
        f"{rate}; {before:.1f} MB are now {after:.1f} MB"
    )
    if failures:
        say(f"failed, and left out of the list: {folder / 'failures.csv'}")
    say(f"list: {folder / 'list.csv'}")


def _size(path: str) -> int:
    """Bytes of a file, of a part of one, or of a folder's frames."""
    return sum(map(os.path.getsize, _inside(path))) if os.path.isdir(path) else Location.parse(path).bytes()
