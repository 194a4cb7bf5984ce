"""Test a trained network on a list of videos: several views of each, and the mean of their probabilities.

Writes metrics.json, predictions.parquet and report.html into the folder test of the run, those of another list into a
folder of their own in it.
"""

import argparse

from video_rs.commands.network import add_engine, engine_choice
from video_rs.commands.overrides import add_overrides
from video_rs.runtime import start

EXAMPLES = (
    "--checkpoint runs/mine",
    "--checkpoint runs/mine --list other.csv TEST.NUM_ENSEMBLE_VIEWS 4",
)
CODES = {
    0: "tested; videos that could not be read are counted as failed",
    2: "no video could be read, or the input was refused: one line says why",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    parser.add_argument(
        "--list", default="", help="list file or folder to test on (default: the DATA.VAL_LIST of the run)"
    )
    add_split(parser, folder="test")
    add_engine(parser)
    add_overrides(
        parser,
        "config keys to set, such as OUTPUT_DIR FOLDER or TEST.NUM_SPATIAL_CROPS 1 (default: as in training)",
    )


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the trained network."""
    parser.add_argument("--checkpoint", required=True, metavar="CKPT", help="a run's folder, or a .pth file of one")


def add_split(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add the rows to test on; results are in a folder of the run that is named after ``folder``."""
    parser.add_argument(
        "--split",
        default="",
        choices=("train", "val", "test"),
        help=f"rows of the list to test on; results of train and test are in {folder}_SPLIT (default: val, or all rows "
        "of a list without splits)",
    )


def run(args: argparse.Namespace) -> None:
    """Test the network."""
    start.let_idle_threads_sleep()
    from video_rs.runs.test import run_test

    run_test(args.checkpoint, args.list, args.overrides, args.split, engine_choice(args))
