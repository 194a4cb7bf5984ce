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
    """Writes one checkpoint after the other, in a thread; what is written is the state at the call.

    Args:
        last: path of the newest checkpoint.
        keep: how many of the newest stay, ``last`` included; from 2 on as ``step_N.pth`` beside it.

    Attributes:
        error: what the last writing has failed with. The file of before is whole then.
    """

    def __init__(self, last: Path, keep: int = 1):
        self.last, self.keep = last, keep
        self.error: InputError | None = None
        self._thread: threading.Thread | None = None

    def write(self, state: Mapping[str, Any]) -> None:
        """Takes a copy of ``state``, whose tensors may change from then on, and returns while it is written.

        The one before comes to its end first: there are never two copies in memory.
        """
        self.wait()
        if self.error is None:
            # Not a daemon: a process that ends of itself finishes the file.
            self._thread = threading.Thread(target=self._write, args=(_copied(state),), name="video_rs checkpoint")
            self._thread.start()

    def wait(self) -> None:
        """Returns when nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _write(self, state: Mapping[str, Any]) -> None:
        try:
            save_checkpoint(self.last, state)
            if self.keep > 1:
                copy_checkpoint(self.last, self.last.with_name(f"step_{state['step']}.pth"))
                for old in kept_checkpoints(self.last.parent)[self.keep :]:
                    old.unlink()
        except InputError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - told by the thread that trains, whatever it is
            self.error = InputError(f"cannot write {self.last}: {type(error).__name__}: {error}")
            self.error.__cause__ = error


def kept_checkpoints(folder: Path) -> list[Path]:
    """The ``step_N.pth`` of a folder, the one written last first."""
    found = [path for path in folder.glob("step_*.pth") if KEPT.fullmatch(path.name)]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, int(KEPT.fullmatch(path.name)[1])), reverse=True)


def _copied(value: Any) -> Any:
    """The same with tensors of its own, on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return type(value)(map(_copied, value)) if isinstance(value, (list, tuple)) else value
