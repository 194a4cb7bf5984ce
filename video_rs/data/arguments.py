"""Refusals of values that do not fit each other; the bounds of single values are those of the options."""

from typing import Any

import torch
from torch import Tensor

from video_rs.runtime.errors import InputError


def require(is_allowed: bool, name: str, got: Any, allowed: str) -> None:
    """Raise InputError unless ``is_allowed``; the message names the argument, its value and what is allowed."""
    if not is_allowed:
        raise InputError(f"{name}: got {got!r}, allowed: {allowed}; correct the argument or the config")


def require_frames(frames: Tensor) -> None:
    """Raise InputError unless these are decoded frames, uint8 ``[T, H, W, 3]``."""
    is_clip = frames.dtype == torch.uint8 and frames.ndim == 4 and frames.shape[3] == 3 and frames.numel() > 0
    require(is_clip, "frames", f"{frames.dtype} {list(frames.shape)}", "torch.uint8 [T, H, W, 3], not empty")
