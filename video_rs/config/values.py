"""Values as typed or read from YAML -> values of an option's type, within what the option allows."""

import contextlib
import math
from typing import Any

import yaml

from video_rs.config.options import Option
from video_rs.runtime.errors import InputError


def valid(option: Option, value: Any, source: str) -> Any:
    """Return a value in the type of the option's default.

    Args:
        option: whose value it is.
        value: text, or what YAML made of text.
        source: where the value was given, for the message.

    Raises:
        InputError: a value of another type, or outside what is allowed.
    """
    try:
        value = coerced(value, option.default)
    except (TypeError, ValueError, OverflowError):
        kind = _described_type(option.default)
        raise InputError(f"{option.key} is {value!r} ({source}); allowed: {kind}") from None

    # The type is right; what is left are the values.
    if option.choices and value not in option.choices:
        allowed = ", ".join(repr(choice) for choice in option.choices)
        raise InputError(f"{option.key} is {value!r} ({source}); allowed: {allowed}")

    for number in value if isinstance(value, list) else [value]:
        if isinstance(number, (int, float)) and not _is_within(option, number):
            raise InputError(f"{option.key} is {value!r} ({source}); allowed: {option.bounds}")
    return value


def coerced(value: Any, default: Any) -> Any:
    """Return a value, parsed where it is text, in the type of ``default``.

    Raises:
        TypeError, ValueError: it has no such form.
    """
    if isinstance(default, str):
        if isinstance(value, (dict, list)) or value is None:
            raise TypeError
        return str(value)

    if isinstance(value, str):
        value = _parsed(value)
    if default is None:
        return value
    if isinstance(default, list):
        if not isinstance(value, (list, tuple)) or len(value) != len(default):
            raise TypeError
        return [coerced(item, default[0]) for item in value]
    if isinstance(default, float) and type(value) is int:
        return float(value)
    # The type itself, not a subclass: True is an int, too.
    if type(value) is not type(default):
        raise TypeError
    return value


def _parsed(text: str) -> Any:
    """Return a scalar or list from text; YAML 1.1 alone would read ``1e-3`` as a string."""
    if "e" in text.lower() and "," not in text:
        with contextlib.suppress(ValueError):
            return float(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _is_within(option: Option, number: float) -> bool:
    return math.isfinite(number) and option.low <= number <= option.high


def _described_type(default: Any) -> str:
    if isinstance(default, list):
        return f"a list of {len(default)} values like {default}"
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return kinds.get(type(default), "a YAML value")
