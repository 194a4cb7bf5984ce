"""Files that torch.save wrote: find one, read it without running code, and tell in one line what is wrong with it."""

import pickle
import pickletools
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from video_rs.runtime.errors import InputError

ZIP = b"PK\x03\x04"  # how each file of torch.save begins, but for those of PyTorch before 1.6


def find_checkpoint(path: str | Path) -> Path:
    """Return the checkpoint that a path stands for: a file itself, of a run's folder its last one, else its best.

    Raises:
        InputError: a folder without a checkpoint.
    """
    path = Path(path)
    if not path.is_dir():
        return path

    for folder in (path / "checkpoints", path):
        steps = sorted(folder.glob("step_*.pth"), key=lambda file: file.stat().st_mtime)
        newest_first = reversed(steps)
        for file in (folder / "last.pth", folder / "best.pth", *newest_first):
            if file.is_file():
                return file
    raise InputError(f"folder {path} holds no checkpoint (checkpoints/last.pth); train first, or give a .pth file")


def read_torch_file(path: str | Path) -> Any:
    """Return the tensors and plain data of a file, on the CPU.

    Raises:
        InputError: the file holds code (it is not run), is damaged, or cannot be read.
    """
    try:
        with warnings.catch_warnings():
            # What a foreign file is written with is said by the refusal.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises nearly anything on foreign bytes, and all of it is the file's fault
        raise InputError(f"{path} {_why_unreadable(path, error)}") from error


def verify_checksums(path: str | Path) -> None:
    """Compare each part of a file with the checksum (CRC-32) that torch.save stored, which torch.load does not do.

    Files of PyTorch before 1.6 have no checksums.

    Raises:
        InputError: a part is not what was written.
    """
    try:
        with open(path, "rb") as start:
            if start.read(4) != ZIP:
                return
        with zipfile.ZipFile(path) as file:
            damaged = file.testzip()
    except Exception as error:  # as above: a changed byte of a header may lead anywhere
        raise InputError(f"{path} is damaged ({first_sentence(error)}); take another checkpoint") from error

    if damaged:
        raise InputError(f"{path} is damaged: the checksum of its part {damaged} differs; take another checkpoint")


def _why_unreadable(path: str | Path, error: Exception) -> str:
    """Return what is wrong with a file that torch.load refuses.

    torch's own words would advise to read the file with ``weights_only=False``, which runs its code.
    """
    if _is_foreign(path):
        return "is no checkpoint; give a file that training or torch.save wrote, e.g. RUN/checkpoints/last.pth"
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error):
        return "is refused: it holds more than tensors and plain data, and reading it could run its code"
    return f"is damaged, cut short or no checkpoint at all ({first_sentence(error)}); take another one, or a copy"


def _is_foreign(path: str | Path) -> bool:
    """Return whether a file is a video, a text or the like: no zip archive, and no pickle, of any age.

    A file that cannot be opened is not called foreign.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(4)
            if not start or start == ZIP or start[:1] == pickle.PROTO:
                return False

            # Old pickles have no mark at their start. This reads the instructions up to the last, and follows none.
            file.seek(0)
            for _ in pickletools.genops(file):
                pass
    except OSError:
        return False
    except Exception:  # noqa: BLE001 - what pickletools raises on foreign bytes is not said anywhere
        return True
    return False


def first_sentence(error: Exception) -> str:
    """Return type and first sentence of another library's error, for a message of one line."""
    first_line = f"{type(error).__name__}: {error}".split("\n")[0]
    return first_line.split(". ")[0].rstrip(": ")
