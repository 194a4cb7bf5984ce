"""Write a trained network in int8, for OpenVINO, and show what that does to accuracy, calibration and speed.

Ranges are taken from training videos, and both networks are tested on the validation videos. The file is kept only
where int8 hardly changes the answers for videos of other groups; predict and timeline take it as --model. Needs NNCF
(pip install 'video_rs[quantize]').
"""

import argparse

from video_rs.commands.test import add_checkpoint
from video_rs.runtime import start

EXAMPLES = (
    "--checkpoint runs/mine --out small.xml",
    "--checkpoint runs/mine --list other.csv --out small.xml",
)
CODES = {
    0: "written",
    1: "int8 changes too much, and was not kept; or anything else, with a traceback",
    2: "the input was refused: one line says why",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    parser.add_argument(
        "--list",
        default="",
        help="list of labelled videos: training rows are calibrated on, validation rows tested (default: those of the "
        "run)",
    )
    parser.add_argument("--out", required=True, metavar="FILE.xml", help="file to write; weights lie beside it")


def run(args: argparse.Namespace) -> None:
    """Quantise the network."""
    start.let_idle_threads_sleep()
    from video_rs.runs.quantize import run_quantize

    run_quantize(args.checkpoint, args.out, args.list)
