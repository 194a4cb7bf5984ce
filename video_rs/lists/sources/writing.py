"""What a script leaves: a list file, a label map, ids; whole files, and none touched that would not change."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from video_rs.lists.listing import Row, short
from video_rs.runtime.atomic import csv_text, replace_text
from video_rs.runtime.errors import InputError


def write_text(path: Path, text: str) -> str:
    """Write ``text`` unless it stands there already; returns a line that says which. Raises InputError."""
    try:
        if path.is_file() and path.read_bytes() == text.encode("utf-8", "backslashreplace"):
            return f"unchanged: {path}"
        replace_text(path, text)
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}); choose another place for it") from error
    return f"wrote {path}"


def write_lines(path: Path, lines: Iterable[str]) -> str:
    """One item a line, as a label map or a file of ids; the rest as :func:`write_text`."""
    return write_text(path, "".join(f"{line}\n" for line in lines))


def write_label_map(path: Path, names: Sequence[str]) -> str:
    """One class name a line. Raises InputError for a name that a list file cannot hold."""
    for name in names:
        if not _is_text(name) or ";" in name or "\n" in name or name != name.strip() or not name:
            raise InputError(
                f"class name {short(name)!a}: allowed is UTF-8 text without ; or line breaks, with no space at its "
                "ends; rename the class"
            )
    return write_lines(path, names)


def write_list(path: Path, rows: Iterable[Row], root: str) -> str:
    """A list file in the form of datasets/README.md; ``start``, ``end`` and ``id`` are columns where a row has them.

    Args:
        path: the CSV.
        rows: with paths relative to ``root``.
        root: folder of the videos. Below the list's own folder paths stay relative to the list, else they are absolute.

    Raises:
        InputError: a path that a list file cannot hold, or a place that cannot be written.
    """
    prefix = _prefix(root, path.parent)
    rows = [row._replace(path=_listable(os.path.join(prefix, row.path))) for row in rows]
    extra = [name for name in ("start", "end", "id") if any(getattr(row, name) for row in rows)]
    columns = ["path", "label", "split", *extra]
    return write_text(path, csv_text(columns, ([getattr(row, name) for name in columns] for row in rows)))


def config_text(comment: Iterable[str], base: Path, values: Mapping[str, Any]) -> str:
    """A config that starts from ``base``: ``comment`` lines, then ``values`` as nested YAML."""
    tree = {"_BASE_": str(base.resolve()), **values}
    body = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)
    return "".join(f"# {line}".rstrip() + "\n" for line in comment) + body


def _prefix(root: str, list_folder: Path) -> str:
    root, beside = os.path.abspath(root), os.path.abspath(list_folder)
    if root == beside:
        return ""
    return os.path.relpath(root, beside) if root.startswith(beside.rstrip("/") + "/") else root


def _listable(path: str) -> str:
    if not _is_text(path) or path != path.strip() or "://" in path:
        raise InputError(
            f"path {short(path)!a}: a list file holds UTF-8 text without :// and with no space at its ends; "
            "rename the file or folder"
        )
    return path


def _is_text(name: str) -> bool:
    """Whether a name is UTF-8: bytes that are not reach Python as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
