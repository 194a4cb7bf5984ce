"""Whole-file writes that a reader, or a killed run, never sees half done."""

import csv
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def replace_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` through a neighbour file and a rename; the folder is made if needed.

    File names may hold bytes that are not UTF-8, which Python keeps as lone surrogates: those are written as
    ``\\udcXX``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its files are private (0600), and a report is there to be shared.
    neighbour = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with neighbour.open("wb") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
            file.flush()
            os.fsync(file.fileno())
        neighbour.replace(path)
    finally:
        neighbour.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any] | list) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    replace_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A CSV with a header, its lines ended by a line feed."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([columns, *rows])
    return text.getvalue()


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a CSV with a header, whole or not at all."""
    replace_text(path, csv_text(columns, rows))
