"""Text files of a user: read with clear refusals, and written whole and only if they change."""

import io
import os
from collections.abc import Iterable
from pathlib import Path

from video_rs.lists.unicode_names import UnicodeNames
from video_rs.runtime.atomic import replace_text
from video_rs.runtime.errors import InputError
from video_rs.video.fetching import is_url, local_copy


def is_utf8(text: str) -> bool:
    """Return whether a text, such as a file name, is UTF-8: bytes that are not reach Python as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_text(path: str, what: str, how_to: str) -> str:
    """Read a UTF-8 file, which may be behind a URL.

    Args:
        path: a file or a URL.
        what: word for the file in messages, such as "list".
        how_to: clause for messages that says how to give such a file.

    Raises:
        InputError: the file does not exist, cannot be read or is not UTF-8.
    """
    if is_url(path):
        path = local_copy(path, anew=True)
    else:
        path = UnicodeNames().on_disk(path)
    if not os.path.isfile(path):
        raise InputError(f"{what} {path} does not exist; {how_to}")

    try:
        # "utf-8-sig" drops the byte order mark that Excel writes.
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise InputError(f"{what} {path} is not UTF-8 (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read ({error.strerror}); {how_to}") from error


def lines_of(text: str) -> Iterable[str]:
    """Return the lines of a text, with the line ends of any system: Unix, Windows or old Macs (a lone CR).

    Each line ends with a line feed, but maybe the last one. ``str.splitlines`` also splits at characters that a name
    may hold, such as U+2028.
    """
    return io.StringIO(text, newline=None)


def write_text(path: Path, text: str) -> bool:
    """Write ``text`` to a file, whole, unless the file holds it already.

    Returns:
        Whether the file was written. A file that would not change may lie in a folder that is read-only.

    Raises:
        OSError: the file cannot be written.
    """
    # File names with bytes that are not UTF-8 reach Python as lone surrogates; replace_text writes them like this.
    data = text.encode("utf-8", "backslashreplace")
    if path.is_file() and path.read_bytes() == data:
        return False

    replace_text(path, text)
    return True
