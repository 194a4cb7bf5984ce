"""Write the features of the videos of a list: the maps of a stage of a network, pooled over space and time.

Rows are in the order of the list. A video that cannot be read has a row with the reason. Under torchrun the processes
share the work; an extraction that was stopped goes on when it is started again.
"""

import argparse

from video_rs.commands.overrides import add_overrides
from video_rs.commands.shard_work import add_shards, add_split
from video_rs.commands.test import add_checkpoint
from video_rs.runtime import start

EXAMPLES = (
    "--checkpoint runs/mine --list list.csv --out features.npz",
    "--checkpoint runs/mine --list list.csv --stage res4 --per clip --out features.parquet",
)
CODES = {
    0: "extracted; videos that could not be read have a row with the reason",
    2: "no video could be read, or the input was refused: one line says why",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE",
        help="file for the features: .npz, .parquet, or .npy, which has a CSV with the videos beside it",
    )
    parser.add_argument(
        "--list",
        default="",
        help="list file, or folder of videos, in class folders or not (default: the DATA.VAL_LIST of the run)",
    )
    add_split(parser)
    parser.add_argument(
        "--stage",
        default="res5",
        choices=("stem", "res2", "res3", "res4", "res5"),
        help="part of the network; the last layer sees the features of res5 (default: %(default)s)",
    )
    parser.add_argument(
        "--per",
        default="video",
        choices=("video", "clip", "view"),
        help="what a row is of: a video (mean over its views), a clip (mean over its crops), or a view, a crop of a "
        "clip (default: %(default)s)",
    )
    add_shards(parser)
    add_overrides(parser, "config keys to set, such as TEST.NUM_ENSEMBLE_VIEWS 1 (default: as in training)")


def run(args: argparse.Namespace) -> None:
    """Extract the features."""
    start.let_idle_threads_sleep()
    from video_rs.runs.extract_features import Extraction, run_extraction

    run_extraction(
        Extraction(
            checkpoint=args.checkpoint,
            out=args.out,
            list=args.list,
            split=args.split,
            stage=args.stage,
            per=args.per,
            shard_videos=args.shard_videos,
            overwrite=args.overwrite,
            overrides=tuple(args.overrides),
        )
    )
