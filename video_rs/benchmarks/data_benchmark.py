"""Reading training clips: decoding alone as the limit, our pipeline in every way, and peers; original and prepared."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from video_rs.benchmarks.measuring import Report, Row, measure, row_of
from video_rs.benchmarks.subject import DATA, LIMIT, OURS, PEER, Subject
from video_rs.benchmarks.table import Column, memory_cell, spread_cell
from video_rs.curation.doctor.probing import probe_all
from video_rs.curation.file_workers import FileWorkers
from video_rs.curation.prepare.options import PrepareOptions
from video_rs.curation.prepare.preparation import run_preparation
from video_rs.lists.records import read_records
from video_rs.runtime.errors import InputError
from video_rs.runtime.workers import usable_cores
from video_rs.video import reader_class
from video_rs.video.probing.cache import ProbeCache

TIME_LIMIT = 60.0
ORIGINALS = "originals"
PREPARED = "prepared"


class Way(NamedTuple):
    """A way of reading clips.

    Attributes:
        side: whose it is.
        way: "decode" (alone), "loader" (ours), "DataLoader" or "threads" (ours, read by others), "dataset"
            (pytorchvideo's) or "plain PyAV loop".
        decoder: what reads the videos.
        clips_per_video: clips of each video read.
        package: what it needs beside the package's own dependencies.
    """

    side: str
    way: str
    decoder: str
    clips_per_video: int = 1
    package: str = ""


WAYS = (
    Way(LIMIT, "decode", "pyav"),
    Way(LIMIT, "decode", "torchcodec", package="torchcodec"),
    Way(LIMIT, "decode", "decord", package="decord"),
    Way(OURS, "loader", "pyav"),
    Way(OURS, "loader", "torchcodec", package="torchcodec"),
    Way(OURS, "loader", "decord", package="decord"),
    Way(OURS, "DataLoader", "auto"),
    Way(OURS, "threads", "auto", package="spdl"),
    Way(OURS, "loader", "auto", clips_per_video=2),
    Way(OURS, "loader", "auto", clips_per_video=4),
    Way(PEER, "dataset", "pyav", package="pytorchvideo"),
    Way(PEER, "dataset", "decord", package="decord"),
    Way(PEER, "plain PyAV loop", "pyav"),
)


class Files(NamedTuple):
    """What is read.

    Attributes:
        kind: :data:`ORIGINALS` or :data:`PREPARED`.
        videos: paths.
        cache: file of probes.
    """

    kind: str
    videos: tuple[str, ...]
    cache: str


def data_files(source: str, folder: Path, short_side: int) -> list[Files]:
    """Return a list's files, and the same files prepared into ``folder``, each with its probe cache.

    Raises:
        InputError: the list cannot be read, or not one of its files.
    """
    originals = [record.path for record in read_records(source, require_labels=False).records]
    options = PrepareOptions(source, str(folder), short_side=short_side, processes=usable_cores())
    done = run_preparation(options)
    if not done.done + done.skipped:
        raise InputError(f"none of {done.failed} files of {source} can be read: {folder / 'failures.csv'} says why")
    prepared = [record.path for record in read_records(folder / "list.csv", require_labels=False).records]

    # Frames are counted once, here: training reads with a cache, too.
    files = []
    for kind, paths in ((ORIGINALS, originals), (PREPARED, prepared)):
        cache = folder / f"{kind}.sqlite"
        files.append(Files(kind, _sound(paths, cache), str(cache)))
    return files


def _sound(paths: Sequence[str], cache: Path) -> tuple[str, ...]:
    """Return the files in which nothing is wrong, and fill their probe cache."""
    with ProbeCache(cache) as known:
        found = probe_all(paths, known, "ends", FileWorkers(usable_cores(), time_limit=TIME_LIMIT))
    return tuple(path for path in paths if found.probes[path].kind == "ok")


def data_subjects(files: Files, frames: int, size: int, peers: bool) -> list[Subject]:
    """Return every way that can be taken here.

    Args:
        files: what is read.
        frames: of a clip.
        size: pixels of a side of the crop that training takes.
        peers: whether peers are among them.
    """
    subjects = []
    for way in WAYS:
        if (way.side == PEER and not peers) or not _is_installed(way.package):
            continue
        subjects.append(data_subject(way, files, frames, size))
    return subjects


def data_subject(way: Way, files: Files, frames: int, size: int) -> Subject:
    """Return one way on some files."""
    return Subject(
        DATA,
        way.side,
        way.way,
        batch=1,
        frames=frames,
        size=size,
        decoder=way.decoder,
        clips_per_video=way.clips_per_video,
        files=files.kind,
        videos=files.videos,
        cache=files.cache,
    )


def _is_installed(package: str) -> bool:
    """Return whether a package is there, and torchcodec with the libraries that it needs."""
    if not package:
        return True
    if importlib.util.find_spec(package) is None:
        return False
    if package != "torchcodec":
        return True

    # It loads the system's FFmpeg when it is imported, which may not be there.
    try:
        return reader_class(package) is not None
    except InputError:
        return False


def measure_data(
    files: Sequence[Files], frames: Sequence[int], size: int, peers: bool, rounds: int, report: Report
) -> list[Row]:
    """Return the rows: for each kind of files and length of clips, all ways in turn.

    Raises:
        InputError: a way that cannot be measured.
    """
    rows = []
    for length in frames:
        for some in files:
            for measured in measure(data_subjects(some, length, size, peers), rounds, report):
                rows.append(row_of(measured, None, first_clip_s=measured.end["first_clip_s"]))
    return rows


def data_ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Return ours over the limit (the fastest decoding alone), over the fastest peer, and prepared over originals."""
    ratios: dict[str, float] = {}
    for files, frames in dict.fromkeys((row.subject.files, row.subject.frames) for row in rows):
        here = [row for row in rows if (row.subject.files, row.subject.frames) == (files, frames)]
        for ours, other in _pairs(here):
            name = f"{ours.subject.method} / {other.subject.method}, {files}, {frames} frames"
            ratios[name] = ours.clips_per_s / other.clips_per_s

        if files == PREPARED:
            originals = [row for row in rows if (row.subject.files, row.subject.frames) == (ORIGINALS, frames)]
            ratios.update(_prepared_ratios(here, _fastest(originals, PEER), frames))
    return ratios


def _pairs(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Return what is compared on one kind of files."""
    default = [row for row in rows if _is_default(row.subject)]
    pairs = []
    for row in rows:
        if row.subject.side != OURS:
            continue

        # Readers are held against the limit and the peers, other ways to use them against the default one.
        if row.subject.way == "loader" and row.subject.clips_per_video == 1:
            others = [_fastest(rows, LIMIT), _fastest(rows, PEER)]
        else:
            others = default
        pairs += [(row, other) for other in others if other is not None]
    return pairs


def _prepared_ratios(prepared: Sequence[Row], peer: Row | None, frames: int) -> dict[str, float]:
    """Return ours on prepared files over the fastest peer on the originals."""
    if peer is None:
        return {}
    ratios = {}
    for row in prepared:
        is_repeated = row.subject.clips_per_video > 1
        if _is_default(row.subject) or is_repeated:
            name = f"{row.subject.method} on prepared / {peer.subject.method} on originals, {frames} frames"
            ratios[name] = row.clips_per_s / peer.clips_per_s
    return ratios


def _is_default(subject: Subject) -> bool:
    """Return whether a subject is what training does by default: DATA.DECODER auto takes PyAV."""
    return (subject.side, subject.way, subject.decoder) == (OURS, "loader", "pyav")


def _fastest(rows: Sequence[Row], side: str) -> Row | None:
    """Return the fastest row of a side."""
    candidates = [row for row in rows if row.subject.side == side]
    return max(candidates, key=lambda row: row.clips_per_s, default=None)


DATA_COLUMNS = [
    Column("", lambda row: row.subject.method, is_text=True),
    Column("files", lambda row: row.subject.files, is_text=True),
    Column("frames", lambda row: str(row.subject.frames)),
    Column("clips/s", lambda row: f"{row.clips_per_s:.2f}"),
    Column("first clip s", lambda row: f"{row.more['first_clip_s']:.2f}"),
    Column("MiB", memory_cell),
    Column("spread", spread_cell),
]


def data_lines(result: Mapping[str, Any]) -> list[str]:
    """Return lines about many clips, the doctor and long recordings, where they were measured."""
    lines = []
    if many := result.get("endurance"):
        lines += [
            "",
            f"{many['clips']} clips, 2 workers: {many['settled_mb']:.0f} MiB after the first thousand, "
            f"{many['end_mb']:.0f} at the end ({many['growth']:+.1%}), at most {many['most_mb']:.0f}; "
            f"{many['clips_per_s']:.0f} clips/s; left behind: {many['files_left']} files, "
            f"{many['processes_left']} processes",
        ]
    if checked := result.get("doctor"):
        lines += ["", f"checking {checked[0]['files']} files, first and last frame decoded:"]
        lines += [f"{row['files_per_s']:6.1f} files/s, {row['processes']} processes" for row in checked]
    if containers := result.get("containers"):
        lines += ["", f"random clips of one stream of {containers[0]['minutes']:g} minutes:"]
        for row in containers:
            speed = f"{row['clips_per_s']:6.1f} clips/s, {row['container']:<3} ({row['ratio']:.3f} of mp4)"
            lines.append(f"{speed}, {row['open_s']:.2f} s for the first clip")
    return lines
