"""KEY VALUE pairs at the end of a command line, which set keys of a configuration."""

import argparse
from collections.abc import Sequence


def add_overrides(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add the pairs to the arguments of a command.

    Args:
        parser: of the command.
        meaning: what the pairs set, and what holds without them.
    """
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY VALUE",
        help=f"{meaning}; video-rs options lists them all",
    )


def misspelt_override(arguments: Sequence[str]) -> str:
    """Return what is wrong with the first argument that sets a config key as ``KEY=VALUE``, or nothing."""
    from video_rs.config import OPTIONS

    keys = {option.key for option in OPTIONS}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key in keys:
            return f"{argument!r} is no KEY VALUE pair; write the value behind a space: {key} {value}"
    return ""
