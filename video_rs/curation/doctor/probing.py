"""Probe the files of a data set in other processes; what an earlier check found of a file is not probed again."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np

from video_rs.curation.file_workers import FileWorkers
from video_rs.runtime.progress import videos_with_progress
from video_rs.runtime.workers import Lost
from video_rs.video.errors import DecodeError
from video_rs.video.fetching import is_url
from video_rs.video.location import Stamp, check_file
from video_rs.video.probing.cache import ProbeCache, ProbedFile
from video_rs.video.probing.probe import DEPTHS, Probe, probe

_STORED_AT_ONCE = 500  # probes that a killed check may lose


class ProbedFiles(NamedTuple):
    """What is known of the files of a data set.

    Attributes:
        probes: by path.
        times: path -> seconds of the frames, of the videos whose frame i is not at i / fps.
        fresh: how many files were probed now.
    """

    probes: Mapping[str, Probe]
    times: Mapping[str, np.ndarray]
    fresh: int


def probe_all(paths: Iterable[str], cache: ProbeCache, depth: str, workers: FileWorkers) -> ProbedFiles:
    """Return what is known of each file, from the cache or probed now.

    Args:
        paths: of the files; a path may come several times.
        cache: of probes; what is probed now is stored there.
        depth: "ends" decodes the first and the last frame of each file, "all" every frame.
        workers: that probe.
    """
    probes: dict[str, Probe] = {}
    times: dict[str, np.ndarray | None] = {}
    unknown: dict[str, Stamp | None] = {}  # None: the probe is not for the cache
    for path in dict.fromkeys(paths):
        # A folder's stamp stays what it was when a picture in it changes.
        if is_url(path) or os.path.isdir(path):
            unknown[path] = None
            continue

        stamp = Stamp.of_file(path)
        if stamp is None:
            probes[path] = _probe_of_absent(path, depth)
            continue

        # A probe that decoded less than is asked for now does not count.
        known = cache.find(path, stamp)
        if known is None or DEPTHS.index(known.probe.depth) < DEPTHS.index(depth):
            unknown[path] = stamp
            continue
        probes[path] = known.probe
        times[path] = known.index and known.index.times

    for batch in _in_batches(_probe_now(unknown, depth, workers)):
        # A file that hung, crashed or was refused by the system has no fingerprint: the machine may be at fault, and
        # the file is tried again next time.
        cache.store(row for row in batch if row.stamp and row.probe.fingerprint)
        for row in batch:
            probes[row.path] = row.probe
            times[row.path] = row.index and row.index.times

    uneven = {path: seconds for path, seconds in times.items() if seconds is not None}
    return ProbedFiles(probes, uneven, len(unknown))


def _probe_of_absent(path: str, depth: str) -> Probe:
    """Return what is wrong with a file that has no stamp."""
    try:
        check_file(path)
    except DecodeError as error:
        return Probe(error.kind, error.reason, depth)
    return Probe("missing", "it was not there when the check began", depth)


def _probe_now(stamps: Mapping[str, Stamp | None], depth: str, workers: FileWorkers) -> Iterator[ProbedFile]:
    """Probe files, by path, and show progress."""
    tasks = ((path, depth) for path in stamps)
    with workers.results(probe, tasks, ahead=64 * workers.processes) as results:
        shown = videos_with_progress(results, len(stamps), "checking")
        for (path, stamp), result in zip(stamps.items(), shown, strict=True):
            if isinstance(result, Lost):
                kind = "hung" if result.hung else "crashed"
                yield ProbedFile(path, stamp, Probe(kind, result.reason, depth), None)
            else:
                found, index = result
                yield ProbedFile(path, stamp, found, index)


def _in_batches(rows: Iterable[ProbedFile]) -> Iterator[list[ProbedFile]]:
    """Give the rows in lists of a size that is worth a transaction."""
    rows = iter(rows)
    while batch := list(islice(rows, _STORED_AT_ONCE)):
        yield batch
