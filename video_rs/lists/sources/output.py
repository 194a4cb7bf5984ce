"""What a source writes: lists, label maps, ids and configs. Each function returns the line of the report about it."""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from video_rs.lists.rows import ListRow, shortened
from video_rs.lists.text_files import is_utf8, write_text
from video_rs.lists.writing import columns_in_use, write_list
from video_rs.runtime.errors import InputError


def save_lines(path: Path, lines: Iterable[str]) -> str:
    """Write a text file of ``lines``, such as ids.

    Raises:
        InputError: the file cannot be written.
    """
    return save_text(path, "".join(f"{line}\n" for line in lines))


def save_text(path: Path, text: str) -> str:
    """Write a text file.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        is_new = write_text(path, text)
    except OSError as error:
        raise _unwritable(path, error) from error

    return _report(path, is_new)


def save_label_map(path: Path, names: Sequence[str]) -> str:
    """Write a label map, one class name a line.

    Raises:
        InputError: a list file cannot hold a name, or the file cannot be written.
    """
    for name in names:
        is_one_label = name and name == name.strip() and ";" not in name and "\n" not in name
        if not is_one_label or not is_utf8(name):
            raise InputError(
                f"class name {shortened(name)!a}: allowed is UTF-8 text without ; or line breaks, with no space at its "
                "ends; rename the class"
            )
    return save_lines(path, names)


def save_list(path: Path, rows: Iterable[ListRow], root: str) -> str:
    """Write a list file, with ``start``, ``end`` and ``id`` as columns where a row has them.

    Args:
        path: the CSV.
        rows: with paths relative to ``root``.
        root: folder of the videos. Below the list's own folder paths stay relative to the list, else they are absolute.

    Raises:
        InputError: a list file cannot hold a path, or the file cannot be written.
    """
    # All paths are checked before a file is touched.
    prefix = _prefix(root, path.parent)
    moved = []
    for row in rows:
        video = os.path.join(prefix, row.path)
        _refuse_unlistable(video)
        moved.append(row._replace(path=video))

    columns = columns_in_use(moved, always=("label", "split"))
    try:
        is_new = write_list(path, moved, columns)
    except OSError as error:
        raise _unwritable(path, error) from error

    return _report(path, is_new)


def save_config(path: Path, comment: str, base: Path, values: Mapping[str, Any]) -> str:
    """Write a config file.

    Args:
        path: the YAML file.
        comment: text that stands above the options.
        base: config that the written config starts from.
        values: the options that differ, nested.

    Raises:
        InputError: the file cannot be written.
    """
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]

    # A wide line keeps PyYAML from breaking paths, which then could not be copied from the file.
    tree = {"_BASE_": str(base.resolve()), **values}
    body = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)
    return save_text(path, "\n".join(lines) + "\n" + body)


def train_command(config: str, list_path: Path | None = None, more: str = "") -> list[str]:
    """Return the command to type next, in two lines.

    Args:
        config: name or path of a config.
        list_path: the list to train on, which has its label map beside it; None: the config names both.
        more: further options of the command.
    """
    command = f"video-rs train --cfg {shlex.quote(config)}"
    if list_path is not None:
        listed = shlex.quote(str(list_path))
        labels = shlex.quote(str(list_path.with_name("labels.txt")))
        command += f" DATA.TRAIN_LIST {listed} DATA.VAL_LIST {listed} DATA.LABEL_MAP {labels}"
    return ["train with:", f"  {command} {more}".rstrip()]


def _report(path: Path, is_new: bool) -> str:
    """Return a line that says whether a file was written."""
    if is_new:
        return f"wrote {path}"
    return f"unchanged: {path}"


def _unwritable(path: Path, error: OSError) -> InputError:
    """Return the refusal of a place that cannot be written."""
    return InputError(f"cannot write {path} ({error.strerror}); choose another place for it")


def _prefix(root: str, list_folder: Path) -> str:
    """Return what comes before the paths of rows in a list that lies in ``list_folder``."""
    root = os.path.abspath(root)
    beside = os.path.abspath(list_folder)
    if root == beside:
        return ""

    # A list and the videos below its folder can be moved together.
    if root.startswith(beside.rstrip("/") + "/"):
        return os.path.relpath(root, beside)
    return root


def _refuse_unlistable(path: str) -> None:
    """Raise InputError for a path that a list file cannot hold."""
    if not is_utf8(path) or path != path.strip() or "://" in path:
        raise InputError(
            f"path {shortened(path)!a}: a list file holds UTF-8 text without :// and with no space at its ends; "
            "rename the file or folder"
        )
