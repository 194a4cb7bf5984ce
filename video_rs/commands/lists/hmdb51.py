"""List one split of HMDB51: the official split files matched with the videos that are there.

Writes hmdb51_split1.csv (path,label,split,id), whose val rows are the official test videos, and labels.txt, and says
how much of the official list was found. Running it again brings both up to date.
"""

import argparse

from video_rs.commands.lists.arguments import LIST_CODES, add_official_split, print_report, split_options

EXAMPLES = (
    "hmdb51_org --lists testTrainMulti_7030_splits",
    "hmdb51_org --lists testTrainMulti_7030_splits --split 2 --out data/hmdb51_2",
)
CODES = LIST_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_official_split(parser, "testTrainMulti_7030_splits", "data/hmdb51")


def run(args: argparse.Namespace) -> None:
    """Write the list."""
    from video_rs.lists.sources import hmdb51

    print_report(hmdb51.make_list(split_options(args)))
