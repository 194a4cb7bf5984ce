"""What probing found, kept by path, size and time of change in an SQLite file: the doctor writes it, training reads."""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from typing import NamedTuple, Self

import numpy as np

from video_rs.runtime.errors import InputError
from video_rs.video.index.frame_index import FrameIndex, Note
from video_rs.video.location import Stamp
from video_rs.video.probing.index_bytes import pack_index, unpack_index
from video_rs.video.probing.probe import Probe
from video_rs.video.probing.stills import Segment, stills

_FORMAT = 3  # of the rows; a file of another one is refused
_TABLE = "CREATE TABLE IF NOT EXISTS probes (path TEXT PRIMARY KEY, size INT, changed INT, probe TEXT, frames BLOB)"
_WAIT = 60  # seconds for another process to end its writing
_NOT_WRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


class ProbedFile(NamedTuple):
    """One row: an absolute path, the stamp of the file when it was probed, and what was found."""

    path: str
    stamp: Stamp
    probe: Probe
    index: FrameIndex | None


class ProbeCache:
    """An open cache, to be used as a context manager and by one thread.

    Args:
        path: the file, which is made where it is missing.
        read_only: for many readers at once; the file must be there.

    Attributes:
        is_kept: whether what is stored is kept; False once the system has refused to write.

    Raises:
        InputError: the file cannot be opened, or is no cache of this version.
    """

    def __init__(self, path: str | os.PathLike, read_only: bool = False):
        self.path = os.fspath(path)
        self.is_kept = True
        if read_only and not os.path.isfile(self.path):
            raise InputError(
                f"no probe cache {self.path}; make it with video-rs check_dataset LIST, or leave DATA.CACHE empty"
            )

        try:
            version = self._open(read_only)
            is_foreign = self._holds_other_tables()
        except sqlite3.Error as error:
            raise InputError(
                f"cannot open the probe cache {self.path}: {error}; remove it or name another with --cache"
            ) from error
        if is_foreign:
            self.close()
            raise InputError(
                f"{self.path} is another program's database, which is left as it is; name another file with --cache"
            )
        if version != _FORMAT:
            self.close()
            raise InputError(
                f"{self.path} is no probe cache of this version (format {version}, not {_FORMAT}); remove it and probe "
                "anew"
            )

    def _open(self, read_only: bool) -> int:
        """Open the database, and return the format of its rows; a new one is given our table."""
        mode = "ro" if read_only else "rwc"
        self._database = sqlite3.connect(f"file:{_uri_quoted(self.path)}?mode={mode}", uri=True, timeout=_WAIT)

        if not read_only and self._version() == 0 and not self._tables():
            self._make_table()
        return self._version()

    def _version(self) -> int:
        """Return SQLite's own number for the users of a file; 0 is that of a new one."""
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        return version

    def _tables(self) -> set[str]:
        """Return the names of what the file holds; nothing for a new one."""
        return {name for (name,) in self._database.execute("SELECT name FROM sqlite_master")}

    def _holds_other_tables(self) -> bool:
        """Return whether the file is a database, but no cache of whichever version."""
        tables = self._tables()
        return bool(tables) and "probes" not in tables

    def _make_table(self) -> None:
        """Give a new file our table and its version: both or none, whatever other processes or a kill do meanwhile."""
        self._database.execute("BEGIN IMMEDIATE")
        with self._database:
            self._database.execute(_TABLE)
            self._database.execute(f"PRAGMA user_version = {_FORMAT}")

    def find(self, path: str, stamp: Stamp) -> ProbedFile | None:
        """Return what is known of a file, if it has not changed since."""
        row = self._select("probe, frames", path, stamp)
        if row is None:
            return None

        probe_text, packed_index = row
        facts = json.loads(probe_text)
        facts["notes"] = tuple(Note(*note) for note in facts["notes"])
        index = unpack_index(packed_index) if packed_index else None
        return ProbedFile(path, stamp, Probe(**facts), index)

    def index(self, path: str) -> FrameIndex | None:
        """Return the frame index of a file, if it is known and the file has not changed since it was probed."""
        stamp = Stamp.of_file(path)
        if stamp is None:
            return None

        row = self._select("frames", path, stamp)
        if row is None or not row[0]:
            return None
        return unpack_index(row[0])

    def store(self, rows: Iterable[ProbedFile]) -> None:
        """Write rows, all or none; later ones replace earlier ones of the same path.

        A cache that the system does not let be written stays as it is, and ``is_kept`` says so.

        Raises:
            InputError: the file is damaged, or the disk is full.
        """
        if not self.is_kept:
            return

        values = []
        for row in rows:
            packed_index = pack_index(row.index) if row.index else None
            values.append((_key(row.path), *row.stamp, json.dumps(asdict(row.probe)), packed_index))
        try:
            with self._refusing_errors(), self._database:
                self._database.executemany("INSERT OR REPLACE INTO probes VALUES (?, ?, ?, ?, ?)", values)
        except InputError as error:
            # The lowest byte of the code says that the file is read-only, or its folder, where the journal has to be.
            code = getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF
            if code not in _NOT_WRITABLE:
                raise
            self.is_kept = False

    def _select(self, columns: str, path: str, stamp: Stamp) -> tuple | None:
        statement = f"SELECT {columns} FROM probes WHERE path = ? AND size = ? AND changed = ?"
        with self._refusing_errors():
            return self._database.execute(statement, (_key(path), *stamp)).fetchone()

    @contextmanager
    def _refusing_errors(self) -> Iterator[None]:
        """Raise InputError for what SQLite says of a damaged file, a full disk or one that cannot be written."""
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(f"cannot use the probe cache {self.path}: {error}; remove it or name another") from error

    def close(self) -> None:
        """Free the file; a second call does nothing."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()


def cached_index(cache_path: str, video: str) -> FrameIndex | None:
    """Return the frame index that the cache at ``cache_path`` knows of a video; None also for an empty path."""
    if not cache_path:
        return None
    return _open_for_process(cache_path, os.getpid()).index(video)


@cache
def _open_for_process(path: str, _process: int) -> ProbeCache:
    """Return a cache that stays open; a process that was forked opens its own, as SQLite demands."""
    return ProbeCache(path, read_only=True)


def stills_with_cache(path: str, segments: Sequence[Segment], cache_path: str) -> list[np.ndarray]:
    """Return :func:`stills` of a file, whose frame index the cache at ``cache_path`` may know."""
    return stills(path, segments, cached_index(cache_path, path))


def _key(path: str) -> str:
    """Return a path as SQLite takes it.

    Bytes of a file name that are not UTF-8 reach Python as lone surrogates, which SQLite refuses.
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _uri_quoted(path: str) -> str:
    """Return a path inside an SQLite URI."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
