"""Prepare your own videos: a folder of class folders becomes a list with a split, a label map and a config.

Writes list.csv (path,label,split), labels.txt and config.yaml, and prints the command that trains. Running it again
brings all up to date; most videos keep their split when others come.
"""

import argparse

from video_rs.commands.lists.arguments import LIST_CODES, print_report
from video_rs.lists.sources.options import FolderOptions

EXAMPLES = (
    "my_videos",
    "my_videos --out data/mine --group-by '^(.*)_'",
)
CODES = LIST_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "videos", metavar="VIDEOS", help="a folder of class folders, or of train and val with class folders in them"
    )
    parser.add_argument("--out", metavar="FOLDER", help="for what is written (default: data/NAME of VIDEOS)")
    parser.add_argument(
        "--val-share",
        type=float,
        default=FolderOptions.val_share,
        metavar="SHARE",
        help="of each class for validation, above 0 and below 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=FolderOptions.seed, help="another one splits otherwise (default: %(default)s)"
    )
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        default="",
        help="videos in whose names it finds the same text (its first group) stay in one split "
        "(default: each file is a video of its own)",
    )


def run(args: argparse.Namespace) -> None:
    """Write list, split, label map and config."""
    from video_rs.config import find_config
    from video_rs.lists.sources import folder

    options = FolderOptions(
        videos=args.videos,
        base_config=find_config("small_scratch"),
        output=args.out or "",
        val_share=args.val_share,
        seed=args.seed,
        group_by=args.group_by,
    )
    print_report(folder.make_list(options))
