"""Make the probabilities of a trained network mean something, and let it say when it is unsure.

Fits a temperature on videos that the network was not trained on (temperature scaling, Guo et al. 2017), and with
--precision a threshold: below it, prediction answers "unsure". With --adaptive it finds out after how many views an
answer is decided, for TEST.VIEWS adaptive. All are stored in the checkpoint, and from then on in
all that is made from it. How good they are is measured on groups of videos that they were not fitted on.
"""

import argparse

from video_rs.commands.overrides import add_overrides
from video_rs.commands.test import add_checkpoint
from video_rs.runtime import start

EXAMPLES = (
    "--checkpoint runs/mine",
    "--checkpoint runs/mine --list other.csv --precision 0.95 --unknown strangers.csv",
)
CODES = {0: "calibrated, and stored in the checkpoint", 2: "the input was refused: one line says why"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    parser.add_argument(
        "--list",
        default="",
        help="list of videos that the network was not trained on (default: the DATA.VAL_LIST of the run)",
    )
    parser.add_argument(
        "--precision",
        type=float,
        metavar="SHARE",
        help="share of the answers that has to be right, such as 0.95: what is less sure is answered 'unsure' "
        "(default: no threshold)",
    )
    parser.add_argument(
        "--unknown",
        default="",
        metavar="LIST",
        help="list or folder of videos of other classes, which have to be 'unsure'; labels do not matter "
        "(default: none)",
    )
    parser.add_argument(
        "--adaptive",
        type=float,
        metavar="SHARE",
        help="share of the answers that TEST.VIEWS adaptive may give otherwise than all views, such as 0.01 (default: "
        "no rule for it)",
    )
    add_overrides(parser, "config keys to set, such as OUTPUT_DIR FOLDER (default: as in training)")


def run(args: argparse.Namespace) -> None:
    """Calibrate the network."""
    start.let_idle_threads_sleep()
    from video_rs.runs.calibrate import run_calibrate

    run_calibrate(args.checkpoint, args.list, args.precision, args.unknown, args.overrides, args.adaptive)
