"""List one split of UCF101: the official train and test lists matched with the videos that are there.

Writes ucf101_split1.csv (path,label,split,id), whose val rows are the official test list, and labels.txt, and says
how much of the official list was found. Running it again brings both up to date.
"""

import argparse

from video_rs.commands.lists.arguments import LIST_CODES, add_official_split, print_report, split_options

EXAMPLES = (
    "UCF-101 --lists ucfTrainTestlist",
    "UCF-101 --lists ucfTrainTestlist --split 2 --missing missing.txt",
)
CODES = LIST_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_official_split(parser, "ucfTrainTestlist", "data/ucf101")


def run(args: argparse.Namespace) -> None:
    """Write the list."""
    from video_rs.lists.sources import ucf101

    print_report(ucf101.make_list(split_options(args)))
