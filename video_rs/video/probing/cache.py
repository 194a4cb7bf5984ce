"""What probing found, kept by path, size and time of change in an SQLite file: the doctor writes it, training reads."""

import json
import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from functools import cache
from typing import NamedTuple, Self

import numpy as np

from video_rs.runtime.errors import InputError
from video_rs.video.index.frame_index import Entry, FrameIndex, Note
from video_rs.video.location import Stamp
from video_rs.video.probing.probe import Probe
from video_rs.video.probing.stills import Segment, stills

_FORMAT = 3  # of the rows; a file of another one is refused
_UNWRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_TABLE = "CREATE TABLE IF NOT EXISTS probes (path TEXT PRIMARY KEY, size INT, changed INT, probe TEXT, frames BLOB)"


class ProbedFile(NamedTuple):
    """One row."""

    path: str  # absolute
    stamp: Stamp
    probe: Probe
    index: FrameIndex | None


class ProbeCache:
    """An open cache; use it as a context manager. Not to be shared between threads.

    Args:
        path: the file, made where it is missing.
        read_only: for many readers at once; the file must be there.

    Attributes:
        is_kept: whether what is stored is kept; False once the system has refused to write.

    Raises:
        InputError: it cannot be opened, or is no cache of this version.
    """

    def __init__(self, path: str | os.PathLike, read_only: bool = False):
        self.path, self.is_kept = os.fspath(path), True
        if read_only and not os.path.isfile(self.path):
            raise InputError(
                f"no probe cache {self.path}; make it with tools/check_dataset.py LIST, or leave DATA.CACHE empty"
            )
        try:
            mode = "ro" if read_only else "rwc"
            self._database = sqlite3.connect(f"file:{_quoted(self.path)}?mode={mode}", uri=True, timeout=60)
            (version,) = self._database.execute("PRAGMA user_version").fetchone()
            if not read_only and version == 0:
                self._database.execute(_TABLE)
                self._database.execute(f"PRAGMA user_version = {_FORMAT}")
        except sqlite3.Error as error:
            raise InputError(
                f"cannot open the probe cache {self.path}: {error}; remove it or name another with --cache"
            ) from error
        if version != _FORMAT and (read_only or version != 0):
            self.close()
            raise InputError(
                f"{self.path} is no probe cache of this version (format {version}, not {_FORMAT}); remove it and probe "
                "anew"
            )

    def find(self, path: str, stamp: Stamp) -> ProbedFile | None:
        """What is known of a file, if it has not changed since."""
        row = self._row("probe, frames", path, stamp)
        if row is None:
            return None
        facts = json.loads(row[0])
        notes = tuple(Note(*note) for note in facts.pop("notes"))
        return ProbedFile(path, stamp, Probe(**facts, notes=notes), row[1] and _unpacked(row[1]))

    def index(self, path: str) -> FrameIndex | None:
        """The frame index of a file that has not changed since it was probed."""
        stamp = Stamp.of_file(path)
        if stamp is None:
            return None
        row = self._row("frames", path, stamp)
        return _unpacked(row[0]) if row and row[0] else None

    def store(self, rows: Iterable[ProbedFile]) -> None:
        """Writes rows, all or none; later ones replace earlier ones of the same path.

        A cache that the system does not let be written stays as it is, and ``is_kept`` says so.
        """
        if not self.is_kept:
            return
        values = [
            (_key(row.path), *row.stamp, json.dumps(asdict(row.probe)), row.index and _packed(row.index))
            for row in rows
        ]
        try:
            with self._told(), self._database:
                self._database.executemany("INSERT OR REPLACE INTO probes VALUES (?, ?, ?, ?, ?)", values)
        except InputError as error:
            # SQLite's first byte: the file is read-only, or its folder, in which a journal would have to be.
            if getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF not in _UNWRITABLE:
                raise
            self.is_kept = False

    def _row(self, columns: str, path: str, stamp: Stamp) -> tuple | None:
        where = "path = ? AND size = ? AND changed = ?"
        with self._told():
            return self._database.execute(
                f"SELECT {columns} FROM probes WHERE {where}", (_key(path), *stamp)
            ).fetchone()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """InputError for what SQLite says of a damaged file, a full disk or one that cannot be written."""
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(f"cannot use the probe cache {self.path}: {error}; remove it or name another") from error

    def close(self) -> None:
        """Frees the file; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()


@cache
def _opened(path: str, _process: int) -> ProbeCache:
    return ProbeCache(path, read_only=True)


def cached_index(cache_path: str, video: str) -> FrameIndex | None:
    """The frame index that the cache at ``cache_path`` knows of a video; None also without a cache (empty path)."""
    return _opened(cache_path, os.getpid()).index(video) if cache_path else None


def stills_with_cache(path: str, segments: Sequence[Segment], cache_path: str) -> list[np.ndarray]:
    """:func:`stills` of a file whose index the cache at ``cache_path`` may know."""
    return stills(path, segments, cached_index(cache_path, path))


def _key(path: str) -> str:
    """A path as SQLite takes it: bytes of a file name that are no UTF-8 reach Python as lone surrogates."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _quoted(path: str) -> str:
    """A path inside an SQLite URI."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _packed(index: FrameIndex) -> bytes:
    """A few hundred bytes for a video of an even rate: differences repeat, and so compress."""
    head = {
        "frames": len(index.pts),
        "entries": len(index.entries),
        "time_base": [index.time_base.numerator, index.time_base.denominator],
        "fps": index.fps,
        "stream": index.stream,
        "addressable": index.addressable,
        "counted": index.counted,
        "notes": index.notes,
    }
    columns = [index.pts, index.packets, *index.entries.T]
    steps = [np.diff(column, prepend=0).astype("<i8").tobytes() for column in columns]
    return zlib.compress(b"\n".join([json.dumps(head).encode(), b"".join(steps) + np.packbits(index.key).tobytes()]))


def _unpacked(data: bytes) -> FrameIndex:
    head, _, body = zlib.decompress(data).partition(b"\n")
    facts = json.loads(head)
    frames, entries = facts.pop("frames"), facts.pop("entries")

    lengths = [frames, frames, *[entries] * len(Entry._fields)]
    values = np.frombuffer(body, "<i8", sum(lengths)).astype(np.int64)
    pts, packets, *columns = (np.cumsum(part) for part in np.split(values, np.cumsum(lengths)[:-1]))
    key = np.unpackbits(np.frombuffer(body, np.uint8, offset=8 * sum(lengths)), count=frames).astype(bool)

    time_base = Fraction(*facts.pop("time_base"))
    notes = tuple(Note(*note) for note in facts.pop("notes"))
    return FrameIndex(pts, packets, key, np.stack(columns, axis=1), time_base, notes=notes, **facts)
