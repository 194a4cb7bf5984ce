"""Build up the recipe row by row, as Bello et al. 2021 (arXiv 2103.07579) did, and measure each row.

Trains and tests every row of a ladder of configs with several seeds. Writes table.csv, additive.png and report.html:
the rows, the differences from one to the next with intervals, and the published ones beside. The same command goes on
with a study that was stopped; more --seeds add runs to it.
"""

import argparse

from video_rs.commands.overrides import add_overrides
from video_rs.commands.study import STUDY_CODES, add_resources, add_study, overrides_of, resources_of
from video_rs.runtime import start
from video_rs.runtime.errors import InputError

EXAMPLES = (
    "--ladder small --list list.csv --seeds 3 --jobs 2 --out studies/additive",
    "--ladder kinetics --list kinetics400.csv --seeds 3 --engine slurm --processes 8 --out studies/kinetics",
)
CODES = STUDY_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--ladder",
        default="small",
        help="kinetics, as published; small, scaled to a small data set; or a folder of configs (default: %(default)s)",
    )
    parser.add_argument(
        "--rows", metavar="ROW,ROW", default="", help="rows to run, such as 00_r3d50,09_resnet_d (default: all)"
    )
    add_study(parser)
    parser.add_argument(
        "--end-seeds", type=int, default=0, help="seeds of the first and the last row (default: as many as --seeds)"
    )
    add_resources(parser)
    add_overrides(parser, "config keys to set in every run (default: as in the configs)")


def run(args: argparse.Namespace) -> None:
    """Run the study."""
    start.let_idle_threads_sleep()
    from video_rs.studies.additive import Ladder, Seeds, additive_study
    from video_rs.studies.running import make_and_go_on

    rows = [row.strip() for row in args.rows.split(",")] if args.rows else []
    if args.end_seeds < 0:
        raise InputError(f"--end-seeds {args.end_seeds}: give 0, which is as many as --seeds, or more")
    seeds = Seeds(args.seeds, max(args.seeds, args.end_seeds))
    study = additive_study(args.out, Ladder(args.ladder, rows, overrides_of(args)), seeds, args.threads)
    make_and_go_on(study, resources_of(args))
