"""Writing checkpoints while training goes on, and which of them are kept."""

import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from video_rs.engine.checkpoint import copy_checkpoint, save_checkpoint
from video_rs.runtime.errors import InputError

KEPT = re.compile(r"step_(\d+)\.pth")


class CheckpointWriter:
    """Writes one checkpoint after the other in a thread, each with the state at the call.

    Args:
        last: path of the newest checkpoint.
        keep: how many of the newest stay, ``last`` included; from 2 on as ``step_N.pth`` beside it.
        then: what to do after making room on a full disk, for the message.

    Attributes:
        error: what the last writing has failed with. The file of before is whole then.
    """

    def __init__(self, last: Path, keep: int = 1, then: str = "go on"):
        self.last = last
        self.keep = keep
        self.then = then
        self.error: InputError | None = None
        self._thread: threading.Thread | None = None

    def write(self, state: Mapping[str, Any]) -> None:
        """Take a copy of a state, whose tensors may change from then on, and return while it is written.

        The writing before comes to its end first: there are never two copies in memory. After an error nothing is
        written.
        """
        self.wait()
        if self.error is None:
            # The thread is no daemon: a process that ends of itself finishes the file.
            self._thread = threading.Thread(target=self._write, args=(_copied(state),), name="video_rs checkpoint")
            self._thread.start()

    def wait(self) -> None:
        """Return when nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, state: Mapping[str, Any]) -> None:
        try:
            save_checkpoint(self.last, state, self.then)
            kept = 0
            if self.keep > 1:
                copy_checkpoint(self.last, self.last.with_name(f"step_{state['step']}.pth"))
                kept = self.keep
            # Also those of a run that kept more before it was resumed.
            for old in kept_checkpoints(self.last.parent)[kept:]:
                old.unlink()
        except InputError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - the thread that trains raises it, whatever it is
            self.error = InputError(f"cannot write {self.last}: {type(error).__name__}: {error}")
            self.error.__cause__ = error


def kept_checkpoints(folder: Path) -> list[Path]:
    """Return the ``step_N.pth`` of a folder, the one written last first."""
    by_age = []
    for path in folder.glob("step_*.pth"):
        match = KEPT.fullmatch(path.name)
        if match:
            by_age.append((path.stat().st_mtime_ns, int(match[1]), path))
    by_age.sort(reverse=True)
    return [path for _, _, path in by_age]


def _copied(value: Any) -> Any:
    """Return the same value with tensors of its own, on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_copied, value))
    return value
