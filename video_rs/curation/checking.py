"""Check a data set: probe every file once, say what is wrong, and write the list without it."""

import math
import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from video_rs.curation.doctor import NOTES, PROBLEMS, Diagnosis, Row, diagnose
from video_rs.curation.several_lists import read_rows
from video_rs.lists.records import VideoRecord
from video_rs.reports.check_page import Kind, Picture, Spread, write_check_page
from video_rs.runtime.atomic import write_csv, write_json
from video_rs.runtime.errors import InputError
from video_rs.runtime.processes import Lost, check_limits, in_processes
from video_rs.runtime.progress import say, videos_with_progress
from video_rs.runtime.wording import counted
from video_rs.video.errors import DecodeError
from video_rs.video.fetching import is_url, register_handlers, with_handlers
from video_rs.video.location import Stamp, check_file
from video_rs.video.probing.cache import ProbeCache, ProbedFile, stills_with_cache
from video_rs.video.probing.probe import DEPTHS, Probe, probe

_STORED_AT_ONCE = 500  # probes that a killed check may lose
_PICTURES_PER_KIND, _PICTURES_OF_SOUND = 6, 24


def run_check(
    lists: Sequence[str],
    output: str,
    *,
    root: str = "",
    label_map: str = "",
    cache: str = "",
    depth: str = "ends",
    processes: int = 1,
    time_limit: float = 30.0,
    clip_reach: int = 1,
    target_fps: float = 0.0,
    path_handlers: Sequence[str] = (),
) -> Diagnosis:
    """Probes, prints a summary, and writes ``clean.csv``, ``quarantine.csv``, ``check.json`` and ``check.html``.

    Args:
        lists: list files or folders of class folders; of several, the name of one without a split column tells its
            split: ``kinetics_train.csv``.
        output: folder for what is written.
        root: as DATA.ROOT.
        label_map: as DATA.LABEL_MAP.
        cache: SQLite file of probes; empty: ``probes.sqlite`` in ``output``.
        depth: "ends" decodes the first and the last frame of each file, "all" every frame.
        processes: files probed at once.
        time_limit: seconds for one file.
        clip_reach: frames below which a video is "short".
        target_fps: as DATA.TARGET_FPS; above 0 ``clip_reach`` counts frames of that rate.
        path_handlers: as :class:`video_rs.data.dataset.VideoSource` has them.

    Raises:
        InputError: a value out of range, a list that cannot be read or that tells no split, or a folder that cannot be
            written.
    """
    if depth not in DEPTHS:
        raise InputError(f"depth: got {depth!r}, allowed: {', '.join(DEPTHS)}")
    if clip_reach < 1:
        raise InputError(f"--min-frames: got {clip_reach}, allowed: from 1 (frames)")
    if not 0 <= target_fps < math.inf:
        raise InputError(f"--target-fps: got {target_fps:g}, allowed: frames per second, or 0 for each video's own")
    check_limits(processes, time_limit)
    register_handlers(path_handlers)
    rows, names, notes = read_rows(lists, root, label_map)
    folder = Path(output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; name another with --out") from error
    started = time.perf_counter()
    with ProbeCache(cache or folder / "probes.sqlite") as probed:
        usable = [row.record.path for row in rows if not row.fault]
        probes, times, fresh = probe_all(usable, probed, depth, processes, time_limit, path_handlers)
        if not probed.is_kept:
            say(f"note: {probed.path} cannot be written to; what was found now is in {folder}, but not kept there")
    seconds = time.perf_counter() - started
    diagnosis = diagnose(rows, probes, names, clip_reach, times, notes, target_fps)
    rate = f", {fresh} of them now, {fresh / seconds:.1f} files/s" if fresh else ", none of them anew"
    say(f"{counted(len(rows), 'row')}, {counted(len(probes), 'file')}{rate}")
    write_lists(folder, rows, names, diagnosis)
    write_json(folder / "check.json", as_data(rows, names, probes, diagnosis))
    known = str(cache or folder / "probes.sqlite")
    pictures = take_pictures(rows, names, diagnosis, known, processes, time_limit, path_handlers)
    write_page(folder / "check.html", f"Check of {', '.join(lists)}", rows, names, probes, diagnosis, pictures)
    summarize(diagnosis, len(rows), folder)
    return diagnosis


def probe_all(
    paths: Iterable[str],
    cache: ProbeCache,
    depth: str,
    processes: int,
    time_limit: float,
    path_handlers: Sequence[str] = (),
) -> tuple[dict[str, Probe], dict[str, np.ndarray], int]:
    """What is known of each file, from the cache or probed now.

    Returns:
        The probes; the frames' times where a file has some of its own (``FrameIndex.times``); and how many files were
        probed now.
    """
    probes: dict[str, Probe] = {}
    times: dict[str, np.ndarray | None] = {}
    stamps: dict[str, Stamp | None] = {}  # None: not for the cache
    for path in dict.fromkeys(paths):
        # A folder's stamp stays what it was when a picture in it changes.
        if is_url(path) or os.path.isdir(path):
            stamps[path] = None
            continue
        stamp = Stamp.of_file(path)
        known = stamp and cache.find(path, stamp)
        if stamp is None:
            probes[path] = _gone(path, depth)
        elif known and DEPTHS.index(known.probe.depth) >= DEPTHS.index(depth):
            probes[path], times[path] = known.probe, known.index and known.index.times
        else:
            stamps[path] = stamp
    work = partial(with_handlers, path_handlers, probe)
    for batch in _in_batches(_probed_now(work, stamps, depth, processes, time_limit)):
        # What hung, crashed or was refused by the system has no fingerprint: the machine may be at fault, and it is
        # tried again next time.
        cache.store(row for row in batch if row.stamp and row.probe.fingerprint)
        probes.update((row.path, row.probe) for row in batch)
        times.update((row.path, row.index and row.index.times) for row in batch)
    return probes, {path: known for path, known in times.items() if known is not None}, len(stamps)


def _gone(path: str, depth: str) -> Probe:
    """What is wrong with a file that has no stamp."""
    try:
        check_file(path)
    except DecodeError as error:
        return Probe(error.kind, error.reason, depth)
    return Probe("missing", "it was not there when the check began", depth)


def _probed_now(
    work: Callable, stamps: dict[str, Stamp | None], depth: str, processes: int, time_limit: float
) -> Iterator[ProbedFile]:
    tasks = ((path, depth) for path in stamps)
    with closing(
        in_processes(work, tasks, processes=processes, time_limit=time_limit, ahead=64 * processes)
    ) as results:
        shown = videos_with_progress(results, len(stamps), "checking")
        for (path, stamp), result in zip(stamps.items(), shown, strict=True):
            if isinstance(result, Lost):
                result = Probe("hung" if result.hung else "crashed", result.reason, depth), None
            yield ProbedFile(path, stamp, *result)


def _in_batches(rows: Iterable[ProbedFile]) -> Iterator[list[ProbedFile]]:
    rows = iter(rows)
    while batch := list(islice(rows, _STORED_AT_ONCE)):
        yield batch


def write_lists(folder: Path, rows: Sequence[Row], names: Sequence[str], diagnosis: Diagnosis) -> None:
    """``clean.csv`` for training, and ``quarantine.csv`` with the reasons; paths are absolute."""
    quarantined = diagnosis.quarantined
    columns = ["path", *(["label"] if names else []), *(["split"] if any(row.split for row in rows) else [])]
    columns += [name for name in ("start", "end") if any(getattr(row.record, name) is not None for row in rows)]
    columns.append("id")
    kept = [_cells(row, names, columns) for i, row in enumerate(rows) if i not in quarantined]
    write_csv(folder / "clean.csv", columns, kept)
    lost = [[*_cells(rows[i], names, columns), problem.kind, problem.detail] for i, problem in quarantined.items()]
    write_csv(folder / "quarantine.csv", [*columns, "problem", "reason"], lost)


def _cells(row: Row, names: Sequence[str], columns: Sequence[str]) -> list[str]:
    record = row.record
    values = {
        "path": record.path,
        "label": row.label or ";".join(names[label] for label in record.labels),
        "split": row.split,
        "start": "" if record.start is None else repr(record.start),
        "end": "" if record.end is None else repr(record.end),
        "id": record.id,
    }
    return [values[column] for column in columns]


def as_data(rows: Sequence[Row], names: Sequence[str], probes: dict[str, Probe], diagnosis: Diagnosis) -> dict:
    """What ``check.json`` holds."""
    return {
        "clean": diagnosis.clean,
        "rows": len(rows),
        "quarantined": len(diagnosis.quarantined),
        "kinds": dict(diagnosis.kinds()),
        "classes": class_counts(names, diagnosis),
        "class_notes": list(diagnosis.class_notes),
        "rate_note": diagnosis.rate_note,
        "findings": [
            {"path": rows[f.row].record.path, "id": rows[f.row].record.id, "kind": f.kind, "detail": f.detail}
            for f in diagnosis.findings
        ],
        "files": {path: asdict(probe) for path, probe in probes.items()},
    }


def class_counts(names: Sequence[str], diagnosis: Diagnosis) -> dict[str, dict[str, int]]:
    """Split -> class -> number of rows."""
    return {
        split: {names[label]: count for label, count in sorted(counts.items())}
        for split, counts in diagnosis.counts.items()
    }


def take_pictures(
    rows: Sequence[Row],
    names: Sequence[str],
    diagnosis: Diagnosis,
    cache: str,
    processes: int,
    time_limit: float,
    path_handlers: Sequence[str] = (),
) -> dict[str, list[Picture]]:
    """Stills of a few rows of each kind of finding, and of a few sound ones ("").

    Each file is opened once for all its rows, with the index that the cache has of it.
    """
    chosen: list[tuple[str, int, str]] = []
    for kind in (*PROBLEMS, *NOTES):
        found = [finding for finding in diagnosis.findings if finding.kind == kind]
        chosen += [(kind, finding.row, finding.detail) for finding in found[:_PICTURES_PER_KIND]]
    sound = sorted(set(range(len(rows))) - {finding.row for finding in diagnosis.findings})
    some = sorted(random.Random(0).sample(sound, min(len(sound), _PICTURES_OF_SOUND)))
    chosen += [("", row, "") for row in some]
    pictures: dict[str, list[Picture]] = {}
    shown = _stills_of(
        [rows[row].record for _, row, _ in chosen if not rows[row].fault], cache, processes, time_limit, path_handlers
    )
    nothing = np.empty((0, 1, 1, 3), np.uint8)
    for kind, row, detail in chosen:
        record = rows[row].record
        label = rows[row].label or "; ".join(names[label] for label in record.labels)
        frames = shown.get((record.path, record.start, record.end), nothing)
        pictures.setdefault(kind, []).append(Picture(record.id, label, rows[row].split, detail, frames))
    return pictures


def _stills_of(
    records: Sequence[VideoRecord], cache: str, processes: int, time_limit: float, path_handlers: Sequence[str]
) -> dict[tuple[str, float | None, float | None], np.ndarray]:
    """Return the stills of each (path, start, end), uint8 ``[0..3, h, w, 3]``; of a file that is lost, none."""
    segments: dict[str, dict[tuple, None]] = {}
    for record in records:
        segments.setdefault(record.path, {})[record.start, record.end] = None
    tasks = [(path, list(parts), cache) for path, parts in segments.items()]
    work = partial(with_handlers, path_handlers, stills_with_cache)
    limit = time_limit * max(map(len, segments.values()), default=1)

    shown = {}
    stream = in_processes(work, tasks, processes=processes, time_limit=limit, ahead=max(8, processes))
    with closing(stream) as results:
        for (path, parts, _), frames in zip(tasks, results, strict=True):
            if not isinstance(frames, Lost):
                shown.update(((path, *part), frame) for part, frame in zip(parts, frames, strict=True))
    return shown


def write_page(
    path: Path,
    title: str,
    rows: Sequence[Row],
    names: Sequence[str],
    probes: dict[str, Probe],
    diagnosis: Diagnosis,
    pictures: dict[str, list[Picture]],
) -> None:
    """The page of :mod:`video_rs.reports.check_page`."""
    counts = diagnosis.kinds()
    sound = [probe for probe in probes.values() if probe.kind == "ok"]

    def kinds(meanings: dict[str, str]) -> list[Kind]:
        return [Kind(kind, meaning, counts[kind], pictures.get(kind, [])) for kind, meaning in meanings.items()]

    write_check_page(
        path,
        title=title,
        clean=diagnosis.clean,
        rows=len(rows),
        quarantined=len(diagnosis.quarantined),
        problems=kinds(PROBLEMS),
        notes=kinds(NOTES),
        class_notes=diagnosis.class_notes,
        rate_note=diagnosis.rate_note,
        classes=class_counts(names, diagnosis) if names else {},
        spreads=[
            Spread("Length", "seconds", [probe.frames / probe.fps for probe in sound]),
            Spread("Frames", "frames", [probe.frames for probe in sound]),
            Spread("Rate", "frames per second", [round(probe.fps, 2) for probe in sound]),
            Spread("Size", "short side in pixels", [min(probe.height, probe.width) for probe in sound]),
            Spread("Longest way between key frames", "frames", [probe.key_interval for probe in sound]),
        ],
        sound=pictures.get("", []),
    )


def summarize(diagnosis: Diagnosis, rows: int, folder: Path) -> None:
    """What a person reads at the end."""
    kinds = diagnosis.kinds()
    for title, meanings in (("problems", PROBLEMS), ("notes", NOTES)):
        for kind, meaning in meanings.items():
            if kinds[kind]:
                say(f"  {title}: {kinds[kind]:>7} {kind:<13} {meaning}")
    if diagnosis.rate_note:
        say(f"  rates: {diagnosis.rate_note}")
    for note in diagnosis.class_notes[:_PICTURES_PER_KIND]:
        say(f"  classes: {note}")
    bad = len(diagnosis.quarantined)
    say(
        f"{'clean' if diagnosis.clean else 'not clean'}: {counted(rows - bad, 'row')} in "
        f"{folder / 'clean.csv'}, {bad} in {folder / 'quarantine.csv'}; page: {folder / 'check.html'}"
    )
