"""Test the features of a trained network instead of its classifier, on any data set, with nothing trained.

The K nearest training videos of each video vote for its class (weighted k-NN). Writes metrics.json, predictions.parquet
and report.html into the folder knn of the run, those of another list into a folder of their own in it.
"""

import argparse

from video_rs.commands.overrides import add_overrides
from video_rs.commands.test import add_checkpoint, add_split
from video_rs.runtime import start

EXAMPLES = (
    "--checkpoint runs/mine",
    "--checkpoint runs/mine --list other.csv --k 5 OUTPUT_DIR runs/other",
)
CODES = {
    0: "tested; videos that could not be read are counted as failed",
    2: "no video could be read, or the input was refused: one line says why",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    parser.add_argument("--k", type=int, default=20, help="how many neighbours vote (default: %(default)s)")
    parser.add_argument(
        "--list",
        default="",
        help="list file or folder to test on; its train rows, if it has any, are the training videos, else the "
        "DATA.TRAIN_LIST of the run is (default: the DATA.VAL_LIST of the run)",
    )
    add_split(parser, folder="knn")
    add_overrides(parser, "config keys to set, such as OUTPUT_DIR FOLDER (default: as in training)")


def run(args: argparse.Namespace) -> None:
    """Test the features."""
    start.let_idle_threads_sleep()
    from video_rs.runs.knn import run_knn

    run_knn(args.checkpoint, args.k, args.list, args.overrides, args.split)
