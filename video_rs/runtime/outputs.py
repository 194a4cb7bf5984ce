"""Files that a command is asked to write, looked at before the work: nothing else is replaced, and nothing is lost."""

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from video_rs.runtime.errors import InputError

START = 4096  # bytes that tell a text from a video or an archive


def check_outputs(outputs: Mapping[str, str | Path], inputs: Iterable[str | Path] = ()) -> None:
    """Refuse text files that cannot be written, or that would replace something else than a text.

    Nothing is made or changed. Devices and pipes are taken as they are.

    Args:
        outputs: option -> path; "" or None where none is asked for.
        inputs: paths that the command reads; those that are no files are left out.

    Raises:
        InputError: a path is a folder, is named twice, is an input, holds no text, or cannot be written.
    """
    read = [path for path in map(Path, inputs) if path.is_file()]
    taken: dict[str, str] = {}
    for option, name in outputs.items():
        if not name:
            continue
        path = Path(name)
        place = os.path.realpath(path)
        if place in taken:
            raise InputError(f"{taken[place]} and {option} are both {name}; name a file for each")
        taken[place] = option

        _require_writable(option, path)
        if not path.is_file():
            continue
        if any(path.samefile(source) for source in read):
            raise InputError(f"{option} {name} is what is read, and would be lost; take another file")
        if not _is_text(path):
            raise InputError(f"{option} {name} is there, and is no text; it stays: take another file")


def require_own(option: str, folder: Path, names: Sequence[str], mark: str) -> None:
    """Refuse a folder in which files of something else would be replaced.

    Args:
        option: that named the folder.
        folder: for results.
        names: of the files that will be written.
        mark: the file that says that earlier ones are of the same command.

    Raises:
        InputError: one of the files is there without the mark, or is a folder.
    """
    is_ours = (folder / mark).is_file()
    for name in names:
        path = folder / name
        if path.is_dir():
            raise InputError(f"{option} {folder} has a folder {name}, where a file goes; take another folder")
        if path.exists() and not is_ours:
            raise InputError(
                f"{option} {folder} has a {name} of something else, which would be replaced; take another folder"
            )


def keep_input(option: str, output: Path, source: str | Path) -> None:
    """Raise InputError where a file that is read would be replaced by what is made of it."""
    if output.exists() and Path(source).exists() and output.samefile(source):
        raise InputError(f"{option} would replace {source}, which is read; take another folder")


def _require_writable(option: str, path: Path) -> None:
    """Raise InputError where a file cannot be written, as far as that shows before."""
    error = 0
    if path.is_dir():
        error = errno.EISDIR
    elif path.exists():
        if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
            error = errno.EACCES
    else:
        # Folders that are missing are made later.
        folder = path.parent
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir():
            error = errno.ENOTDIR
        elif not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            error = errno.EACCES
    if error:
        raise InputError(f"{option} {path} cannot be written ({os.strerror(error)}); take another file")


def _is_text(path: Path) -> bool:
    """Return whether a file begins as a text does; an empty one may become anything."""
    with path.open("rb") as file:
        start = file.read(START)
    if b"\0" in start:
        return False
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        # The last letter may be cut.
        return error.start >= len(start) - 3
    return True
