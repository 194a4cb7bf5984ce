"""List Kinetics-400, -600 or -700: the official CSVs matched with the videos that are there.

Writes kinetics400.csv (path,label,split,id) and labels.txt, and says how much of the official list was found. Running
it again brings both up to date.
"""

import argparse

from video_rs.commands.lists.arguments import LIST_CODES, add_missing, print_report
from video_rs.lists.sources.options import KINETICS_VERSIONS, KineticsOptions

EXAMPLES = (
    "/videos --classes 400 --csv train.csv validate.csv",
    "/videos --classes 700 --csv train.csv validate.csv test.csv --missing missing.txt",
)
CODES = LIST_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "videos", metavar="VIDEOS", help="folder of the videos, with or without folders of splits and classes"
    )
    parser.add_argument("--classes", type=int, choices=KINETICS_VERSIONS, required=True, help="which Kinetics")
    parser.add_argument(
        "--csv", nargs="+", required=True, metavar="FILE", help="the official CSVs of all splits to list"
    )
    parser.add_argument("--out", metavar="FOLDER", help="for what is written (default: data/kinetics400, 600 or 700)")
    parser.add_argument(
        "--untrimmed", action="store_true", help="files ID.mp4 are whole videos: list start and end in seconds"
    )
    add_missing(parser)


def run(args: argparse.Namespace) -> None:
    """Write the list."""
    from video_rs.lists.sources import kinetics

    options = KineticsOptions(
        videos=args.videos,
        csv_files=tuple(args.csv),
        num_classes=args.classes,
        output=args.out or "",
        untrimmed=args.untrimmed,
        missing=args.missing,
    )
    print_report(kinetics.make_list(options))
