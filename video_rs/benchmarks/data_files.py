"""The videos that are read: the files of a list, and the same files prepared, each kind with a cache of its probes."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

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
    originals = paths_of(source)
    options = PrepareOptions(source, str(folder), short_side=short_side, processes=usable_cores())
    done = run_preparation(options)
    if not done.done + done.skipped:
        raise InputError(f"none of {done.failed} files of {source} can be read: {folder / 'failures.csv'} says why")
    prepared = paths_of(folder / "list.csv")

    # Frames are counted once, here: training reads with a cache, too.
    files = []
    for kind, paths in ((ORIGINALS, originals), (PREPARED, prepared)):
        cache = folder / f"{kind}.sqlite"
        files.append(Files(kind, _sound(paths, cache), str(cache)))
    return files


def paths_of(source: str | Path) -> list[str]:
    """Return the paths of a list's videos, whatever their labels are."""
    records = read_records(source, require_labels=False).records
    return [record.path for record in records]


def _sound(paths: Sequence[str], cache: Path) -> tuple[str, ...]:
    """Return the files in which nothing is wrong, and fill their probe cache."""
    with ProbeCache(cache) as known:
        found = probe_all(paths, known, "ends", FileWorkers(usable_cores(), time_limit=TIME_LIMIT))
    return tuple(path for path in paths if found.probes[path].kind == "ok")
