"""Files that torch.save wrote, read without running code; what is wrong with one is said in our words."""

import pickle
from pathlib import Path
from typing import Any

import torch

from video_rs.errors import InputError


def read_torch_file(path: str | Path) -> Any:
    """Tensors and plain data of a file, on the CPU.

    Raises:
        InputError: the file holds code (it is not run), is damaged, or cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises nearly anything on foreign bytes, and all of it is the file's fault
        raise InputError(f"{path} {_why_unreadable(error)}") from error


def _why_unreadable(error: Exception) -> str:
    """In our words where torch's would advise to read the file with ``weights_only=False``, which runs its code."""
    text = str(error)
    if isinstance(error, pickle.UnpicklingError) or "weights_only" in text:
        return "is refused: it holds more than tensors and plain data, and reading it could run its code"
    return f"is damaged, cut short or no checkpoint at all ({first_sentence(error)})"


def first_sentence(error: Exception) -> str:
    """Type and first sentence of somebody else's error, for a line of ours."""
    return f"{type(error).__name__}: {error}".split("\n")[0].split(". ")[0].rstrip(": ")
