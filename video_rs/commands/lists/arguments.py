"""What the commands that list a public data set have in common."""

import argparse
from collections.abc import Iterable

from video_rs.lists.sources.options import SplitOptions

LIST_CODES = {0: "the files are written, or stand there already", 2: "the input was refused: one line says why"}


def add_missing(parser: argparse.ArgumentParser) -> None:
    """Add the file for what was not found."""
    parser.add_argument(
        "--missing", metavar="FILE", default="", help="file for the ids that were not found, one a line (default: none)"
    )


def add_official_split(parser: argparse.ArgumentParser, lists_folder: str, output: str) -> None:
    """Add the arguments of a data set that has three official splits.

    Args:
        parser: of the command.
        lists_folder: what the folder of the official lists is called.
        output: the folder that is written to unless another one is given.
    """
    parser.add_argument("videos", metavar="VIDEOS", help="folder of the videos, with or without class folders")
    parser.add_argument("--lists", required=True, metavar="FOLDER", help=f"the folder {lists_folder}")
    parser.add_argument(
        "--split", type=int, choices=(1, 2, 3), default=SplitOptions.split, help="which split (default: %(default)s)"
    )
    parser.add_argument("--out", default=output, metavar="FOLDER", help="for what is written (default: %(default)s)")
    add_missing(parser)


def split_options(args: argparse.Namespace) -> SplitOptions:
    """Return the options that :func:`add_official_split` has read."""
    return SplitOptions(
        videos=args.videos,
        lists=args.lists,
        output=args.out,
        split=args.split,
        missing=args.missing,
    )


def print_report(lines: Iterable[str]) -> None:
    """Print what was found and written."""
    for line in lines:
        print(line)
