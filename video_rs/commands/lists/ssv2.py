"""List Something-Something v2: the official JSON files matched with the videos that are there.

Writes ssv2.csv (path,label,split,id), labels.txt, and ssv2.yaml, a config that never mirrors a clip: some of the
classes differ in left and right only. Says how much of the official list was found. Running it again brings all up to
date.
"""

import argparse

from video_rs.commands.lists.arguments import LIST_CODES, add_missing, print_report
from video_rs.lists.sources.options import Ssv2Options

EXAMPLES = (
    "20bn-something-something-v2 --labels labels",
    "20bn-something-something-v2 --labels labels --missing missing.txt",
)
CODES = LIST_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("videos", metavar="VIDEOS", help="folder of the videos, ID.webm")
    parser.add_argument(
        "--labels", required=True, metavar="FOLDER", help="of labels.json, train.json and validation.json"
    )
    parser.add_argument(
        "--out", default=Ssv2Options.output, metavar="FOLDER", help="for what is written (default: %(default)s)"
    )
    add_missing(parser)


def run(args: argparse.Namespace) -> None:
    """Write the list and the config."""
    from video_rs.config import find_config
    from video_rs.lists.sources import ssv2

    options = Ssv2Options(
        videos=args.videos,
        labels=args.labels,
        base_config=find_config("kinetics_rs"),
        output=args.out,
        missing=args.missing,
    )
    print_report(ssv2.make_list(options))
