"""Grow a network in depth, width, resolution and frames, train it for several lengths, and see what each one buys.

Trains and tests every point of a grid over a config, as Bello et al. 2021 (arXiv 2103.07579) did for images. Writes
table.csv (multiply-adds, parameters, latency, error), scaling.png, depth_width.png, resolution_frames.png and
report.html: error against compute with a power law and its break, depth against width at short and long training, and
resolution against frames at equal compute. The same command goes on with a study that was stopped; further values and
--seeds add runs to it.
"""

import argparse

from video_rs.commands.overrides import add_overrides
from video_rs.commands.study import STUDY_CODES, add_resources, add_study, overrides_of, resources_of
from video_rs.runtime import start

EXAMPLES = (
    "--cfg small_scratch.yaml --list list.csv --depths 1-1-1-1,2-2-2-2 --widths 0.25,0.5 --epochs 5,20 --out "
    "studies/scaling --jobs 2",
    "--cfg kinetics_rs.yaml --depths 50,101,152,200 --frames 32,48 --engine slurm --processes 8 --out studies/kinetics",
)
CODES = STUDY_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--cfg", required=True, help="the base of all points: a path or a name under configs/")
    stays = "(default: as in the base)"
    parser.add_argument(
        "--depths", metavar="D,D", default="", help=f"published depths, or blocks of each stage as 2-2-2-2 {stays}"
    )
    parser.add_argument("--widths", metavar="W,W", default="", help=f"values of MODEL.WIDTH {stays}")
    parser.add_argument(
        "--sizes",
        metavar="S,S",
        default="",
        help=f"pixels of DATA.TRAIN_CROP_SIZE; the other sides of the config follow in proportion {stays}",
    )
    parser.add_argument("--frames", metavar="F,F", default="", help=f"values of DATA.NUM_FRAMES {stays}")
    parser.add_argument(
        "--epochs",
        metavar="E,E",
        default="",
        help=f"values of SOLVER.MAX_EPOCH; the warm-up is stretched with them {stays}",
    )
    parser.add_argument(
        "--measure",
        default="error",
        help="what is fitted against compute: error, 1 - top-1; or cross_entropy (default: %(default)s)",
    )
    add_study(parser)
    add_resources(parser)
    add_overrides(parser, "config keys to set in every run (default: as in the base)")


def run(args: argparse.Namespace) -> None:
    """Run the study."""
    start.let_idle_threads_sleep()
    from video_rs.config import load_config
    from video_rs.studies.running import make_and_go_on
    from video_rs.studies.scaling import AXES, grid_from_text, refuse_axis_keys, scaling_study

    grid = grid_from_text({axis: getattr(args, axis) for axis in AXES})
    refuse_axis_keys(grid, args.overrides)
    base = load_config(args.cfg, overrides_of(args))
    study = scaling_study(args.out, base, grid, args.seeds, args.threads, args.measure)
    make_and_go_on(study, resources_of(args))
