"""Checks of the values that transforms, sampling and mixing are built with."""

import math
from typing import Any

from video_rs.runtime.errors import InputError


def require(is_allowed: bool, name: str, got: Any, allowed: str) -> None:
    """Raise InputError unless ``is_allowed``; the message names the argument, its value and what is allowed."""
    if not is_allowed:
        raise InputError(f"{name}: got {got!r}, allowed: {allowed}; correct the argument or the config")


def is_int(value: Any, low: int, high: float = math.inf) -> bool:
    """Return whether a value is an integer in [low, high]; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def is_number(value: Any, high: float = math.inf) -> bool:
    """Return whether a value is a finite number in [0, high]; True and False are none."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and 0 <= value <= high


def is_range(value: tuple, high: float = math.inf) -> bool:
    """Return whether a value is a pair of numbers with 0 < first <= second <= high."""
    return len(value) == 2 and 0 < value[0] <= value[1] <= high


def is_int_range(value: tuple) -> bool:
    """Return whether a value is a pair of integers with 1 <= first <= second."""
    return all(is_int(side, 1) for side in value) and is_range(value)
