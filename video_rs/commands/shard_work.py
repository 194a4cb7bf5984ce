"""What the commands share that work through a list in shards, and go on where that was stopped."""

import argparse


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add the rows of the list."""
    parser.add_argument(
        "--split",
        default="",
        choices=("train", "val", "test"),
        help="rows of the list to take (default: all of them)",
    )


def add_shards(parser: argparse.ArgumentParser) -> None:
    """Add the size of a shard, and whether finished ones stay."""
    parser.add_argument(
        "--shard-videos",
        type=int,
        default=64,
        metavar="N",
        help="videos after which the work is safe, and that one process does (default: %(default)s)",
    )
    parser.add_argument("--overwrite", action="store_true", help="begin anew where something is there already")
