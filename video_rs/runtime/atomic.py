"""Whole-file writes that a reader, or a killed run, never sees half done."""

import contextlib
import csv
import errno
import io
import json
import os
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, as :func:`replace_bytes` does.

    File names may hold bytes that are not UTF-8, which Python keeps as lone surrogates: those are written as
    ``\\udcXX``.
    """
    replace_bytes(path, text.encode("utf-8", "backslashreplace"))


def replace_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` as :func:`replacing` does."""
    with replacing(path) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a neighbour file, which takes the place of ``path`` where no exception comes; make the folder if needed."""
    # Renaming a file onto /dev/null would take it from the whole machine.
    if is_special(path):
        with path.open("wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)

    # Not tempfile: its files are private (0600), and a report is there to be shared.
    neighbour = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with neighbour.open("wb") as file:
            yield file
            # On the disk before the rename: after a crash of the machine the new name must not lead to an empty file.
            file.flush()
            os.fsync(file.fileno())
        neighbour.replace(path)
    finally:
        neighbour.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any] | list) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    replace_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def csv_line(cells: Sequence[str]) -> str:
    """Return cells as a line of a CSV, with its line feed."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a CSV with a header, whose lines end with a line feed."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV with a header, whole or not at all."""
    replace_text(path, csv_text(columns, rows))


class JsonArray:
    """A JSON array in a file that is whole after every value: a reader, or a killed run, never sees half of one.

    Use it as a context manager; what was in the file before is replaced when it opens.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._end = 0  # where the next value goes: behind the last one, before the bracket
        self._write(b"[]\n", moved=1)

    def append(self, value: Any) -> None:
        """Add a value, indented as :func:`write_json` does; on an error the file is as it was before."""
        is_first = self._end == 1
        separator = "\n" if is_first else ",\n"
        text = textwrap.indent(json.dumps(value, indent=2, ensure_ascii=False), "  ")
        data = (separator + text).encode("utf-8", "backslashreplace")
        self._write(data + b"\n]\n", moved=len(data))

    def _write(self, data: bytes, moved: int) -> None:
        """Write the end of the array anew; the next value then goes ``moved`` bytes further on."""
        try:
            os.lseek(self._file, self._end, os.SEEK_SET)
            # In one call: what stands there and what comes are both whole arrays, and the longer one covers the other.
            written = os.write(self._file, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            self._close_bracket()
            raise
        self._end += moved

    def _close_bracket(self) -> None:
        """Take back what was written of a value."""
        if self._end == 0:
            tail = b"[]\n"
        elif self._end == 1:
            tail = b"]\n"
        else:
            tail = b"\n]\n"

        with contextlib.suppress(OSError):
            os.lseek(self._file, self._end, os.SEEK_SET)
            os.write(self._file, tail)
            os.ftruncate(self._file, self._end + len(tail))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info) -> None:
        self.close()


def is_special(path: Path) -> bool:
    """Return whether a path is a device, a pipe or the like, which is written to and never replaced."""
    # /dev/stdout may lead to a file.
    if path.is_absolute() and path.parts[1:2] in (("dev",), ("proc",)):
        return True
    return path.exists() and not path.is_file() and not path.is_dir()
