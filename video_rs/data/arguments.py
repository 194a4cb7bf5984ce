"""Refusals of values that do not fit each other; the bounds of single values are those of the options."""

from typing import Any

from video_rs.runtime.errors import InputError


def require(is_allowed: bool, name: str, got: Any, allowed: str) -> None:
    """Raise InputError unless ``is_allowed``; the message names the argument, its value and what is allowed."""
    if not is_allowed:
        raise InputError(f"{name}: got {got!r}, allowed: {allowed}; correct the argument or the config")
