"""The videos that are read: the files of a list, and the same files prepared, each kind with a cache of its probes."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from video_rs.benchmarks.published import SAMPLING_RATE
from video_rs.curation.doctor.probing import probe_all
from video_rs.curation.file_workers import FileWorkers
from video_rs.curation.prepare.options import PrepareOptions
from video_rs.curation.prepare.preparation import run_preparation
from video_rs.lists.records import read_records
from video_rs.runtime.errors import InputError
from video_rs.runtime.workers import usable_cores
from video_rs.video.probing.cache import ProbeCache

# Seconds for probing one file.
TIME_LIMIT = 60.0
ORIGINALS = "originals"
PREPARED = "prepared"
FOR_STRIDE = f"for stride {SAMPLING_RATE}"


class Files(NamedTuple):
    """What is read.

    Attributes:
        kind: :data:`ORIGINALS`, :data:`PREPARED`, or :data:`FOR_STRIDE`: prepared for clips of the published stride.
        videos: paths.
        cache: file of probes.
        start_multiple: of the frames at which clips begin.
    """

    kind: str
    videos: tuple[str, ...]
    cache: str
    start_multiple: int = 1

    def bytes(self) -> int:
        """Return what the videos take on the disk."""
        return sum(map(os.path.getsize, self.videos))


def data_files(source: str, folder: Path, short_side: int) -> list[Files]:
    """Return a list's files, and the same files prepared into ``folder`` in both ways, each with its probe cache.

    Raises:
        InputError: the list cannot be read, or not one of its files.
    """
    prepared = _prepared(PrepareOptions(source, str(folder), short_side=short_side))
    for_stride = _prepared(
        PrepareOptions(source, str(folder / "for_stride"), short_side=short_side, stride=SAMPLING_RATE)
    )

    # Frames are counted once, here: training reads with a cache, too.
    files = []
    for kind, paths, start_multiple in (
        (ORIGINALS, paths_of(source), 1),
        (PREPARED, prepared, 1),
        (FOR_STRIDE, for_stride, SAMPLING_RATE),
    ):
        cache = folder / f"{kind.replace(' ', '_')}.sqlite"
        files.append(Files(kind, _sound(paths, cache), str(cache), start_multiple))
    return files


def size_lines(files: Sequence[Files]) -> list[str]:
    """Return the lines that say what each kind of files takes on the disk, against the prepared ones."""
    prepared = next(some.bytes() for some in files if some.kind == PREPARED)
    lines = ["on the disk:"]
    for some in files:
        lines.append(f"  {some.bytes() / 1e6:.2f} MB, {some.kind} ({some.bytes() / prepared:.3f} of prepared)")
    return lines


def _prepared(options: PrepareOptions) -> list[str]:
    """Prepare files, and return the paths of what was made; InputError where that is nothing."""
    done = run_preparation(replace(options, processes=usable_cores()))
    folder = Path(options.output)
    if not done.done + done.skipped:
        failures = folder / "failures.csv"
        raise InputError(f"none of {done.failed} files of {options.source} can be read: {failures} says why")
    return paths_of(folder / "list.csv")


def paths_of(source: str | Path) -> list[str]:
    """Return the paths of a list's videos, whatever their labels are."""
    records = read_records(source, require_labels=False).records
    return [record.path for record in records]


def _sound(paths: Sequence[str], cache: Path) -> tuple[str, ...]:
    """Return the files in which nothing is wrong, and fill their probe cache."""
    with ProbeCache(cache) as known:
        found = probe_all(paths, known, "ends", FileWorkers(usable_cores(), time_limit=TIME_LIMIT))
    return tuple(path for path in paths if found.probes[path].kind == "ok")
