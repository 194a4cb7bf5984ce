"""Print the keys of a configuration: default, meaning and allowed values of each."""

import argparse

from video_rs.runtime.errors import InputError

EXAMPLES = ("", "SOLVER")
CODES = {0: "printed", 2: "the input was refused: one line says why"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "part", nargs="?", default="", metavar="PART", help="only keys with this in their names (default: all keys)"
    )


def run(args: argparse.Namespace) -> None:
    """Print the options."""
    from video_rs.config.printing import option_lines

    lines = list(option_lines(args.part))
    if not lines:
        raise InputError(f"no key has {args.part!r} in its name; give less of it, or leave it out to print all keys")
    print("\n".join(lines))
