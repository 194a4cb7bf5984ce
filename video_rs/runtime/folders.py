"""A folder for results, made before the work that fills it."""

import tempfile
from pathlib import Path

from video_rs.runtime.errors import InputError


def make_writable(folder: Path, option: str) -> None:
    """Make a folder where it is missing; processes of one run may call this at once.

    Args:
        folder: for results.
        option: that named the folder, for the message.

    Raises:
        InputError: the folder cannot be made, or not written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Each caller has a probe of its own: with one name for all, one process removes what another is about to.
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".writable-"):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write to {option} {folder}: {reason}; set another {option}") from error
