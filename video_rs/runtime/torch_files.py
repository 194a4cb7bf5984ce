"""Files that torch.save wrote, read without running code; what is wrong with one is said in our words."""

import pickle
import pickletools
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
        for file in (folder / "last.pth", folder / "best.pth", *steps[::-1]):
            if file.is_file():
                return file
    raise InputError(f"folder {path} holds no checkpoint (checkpoints/last.pth); train first, or give a .pth file")


def read_torch_file(path: str | Path) -> Any:
    """Tensors and plain data of a file, on the CPU.

    Raises:
        InputError: the file holds code (it is not run), is damaged, or cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises nearly anything on foreign bytes, and all of it is the file's fault
        raise InputError(f"{path} {_why_unreadable(path, error)}") from error


def verify_checksums(path: str | Path) -> None:
    """Compares each part of a file with the checksum (CRC-32) that torch.save stored, which torch.load does not.

    Files of PyTorch before 1.6 have none.

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
    """In our words where torch's would advise to read the file with ``weights_only=False``, which runs its code."""
    if _is_foreign(path):
        return "is no checkpoint; give a file that training or torch.save wrote, e.g. RUN/checkpoints/last.pth"
    text = str(error)
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:
        return "is refused: it holds more than tensors and plain data, and reading it could run its code"
    return f"is damaged, cut short or no checkpoint at all ({first_sentence(error)})"


def _is_foreign(path: str | Path) -> bool:
    """Whether a file that can be read is a video, a text or the like: no zip archive, and no pickle, of any age."""
    try:
        with open(path, "rb") as file:
            start = file.read(4)
            if not start or start == ZIP or start[:1] == pickle.PROTO:
                return False
            file.seek(0)
            for _ in pickletools.genops(file):  # reads the instructions up to the last one, and follows none
                pass
    except OSError:
        return False
    except Exception:  # noqa: BLE001 - what pickletools raises on foreign bytes is not said anywhere
        return True
    return False


def first_sentence(error: Exception) -> str:
    """Type and first sentence of somebody else's error, for a line of ours."""
    return f"{type(error).__name__}: {error}".split("\n")[0].split(". ")[0].rstrip(": ")
