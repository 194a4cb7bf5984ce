"""Measure what trained networks are worth on other data sets: fine-tuning, linear classifiers and nearest neighbours.

Starts every source on every target by every protocol with several seeds, as Bello et al. 2021 (arXiv 2103.07579)
compare their recipe with self-supervised learning. Writes table.csv, transfer.png and report.html: top-1 with spread
and interval, and the difference to fresh weights. The same command goes on with a study that was stopped; further
sources, targets, protocols and --seeds add runs to it.
"""

import argparse

from video_rs.commands.overrides import add_overrides
from video_rs.commands.study import STUDY_CODES, add_resources, add_seeds, overrides_of, resources_of
from video_rs.runtime import start

EXAMPLES = (
    "--source random --source recipe=runs/recipe --target list.csv --cfg small_scratch.yaml --seeds 3 --out "
    "studies/transfer",
    "--source random image plain=runs/plain0,runs/plain1 --target ucf101.csv hmdb51.csv --protocols linear_features "
    "knn --cfg finetune/image_weights.yaml --seeds 2 --engine slurm --out studies/transfer",
)
CODES = STUDY_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--source",
        required=True,
        nargs="+",
        action="extend",
        metavar="NAME=CKPT",
        help="a checkpoint, or the folder of a run, of the network that --cfg has; several with commas between them, "
        "one for each seed, so that the spread holds the source's own; random: fresh weights; image: image weights, "
        "inflated, of the library that has them; image=FILE: the same from a file",
    )
    parser.add_argument(
        "--target",
        required=True,
        nargs="+",
        action="extend",
        metavar="LIST",
        help="a list with train and val rows, or NAME=LIST",
    )
    parser.add_argument(
        "--protocols",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="finetune: all layers; last_stages: stem, res2 and res3 frozen; linear: the classifier alone, by the "
        "training loop; linear_features: the classifier alone, fitted to stored features; knn (default: all)",
    )
    parser.add_argument("--cfg", required=True, help="configuration of all runs: a path or a name under configs/")
    parser.add_argument("--k", type=int, default=20, help="how many neighbours vote (default: %(default)s)")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="of the study: its runs and what they say")
    add_seeds(parser, "runs of each row; features of one checkpoint are the same for all, and have one")
    add_resources(parser)
    add_overrides(parser, "config keys to set in every run, behind an option of one value (default: as in --cfg)")


def run(args: argparse.Namespace) -> None:
    """Run the study."""
    start.let_idle_threads_sleep()
    from video_rs.config import load_config
    from video_rs.runtime.progress import print_notes
    from video_rs.studies.running import make_and_go_on
    from video_rs.studies.transfer.study import TransferRequest, refuse_set_keys, transfer_study

    refuse_set_keys(args.overrides)
    base = load_config(args.cfg, overrides_of(args))
    request = TransferRequest(args.source, args.target, args.protocols or (), args.seeds, args.k)
    study, doubts = transfer_study(args.out, base, request, args.threads)
    print_notes(doubts)
    make_and_go_on(study, resources_of(args))
