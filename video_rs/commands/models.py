"""Print the models in a Markdown table: parameters, multiply-adds of a clip, strides."""

import argparse

from video_rs.runtime.errors import InputError

EXAMPLES = ("", "'r3d_rs_*' --frames 8 --size 112")
CODES = {0: "printed", 2: "the input was refused: one line says why"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "pattern", nargs="?", default="*", help="shell-style, such as 'r3d_rs_*' (default: %(default)s)"
    )
    parser.add_argument("--classes", type=int, default=400, help="of the last layer (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=32, help="of a clip (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="pixels of a side (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Print the table."""
    if min(args.classes, args.frames, args.size) < 1:
        raise InputError("--classes, --frames and --size must be at least 1")

    from video_rs.models.table import model_table
    from video_rs.models.zoo import list_models

    if not list_models(args.pattern):
        raise InputError(
            f"no model's name matches {args.pattern!r}; allowed: names and shell-style patterns, such as 'r3d_rs_*'; "
            f"there are {', '.join(list_models())}"
        )
    print(model_table(args.pattern, args.classes, args.frames, args.size))
