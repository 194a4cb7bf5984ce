"""Choose pseudo-labelled videos to train on: by confidence, balanced over the classes, without known videos.

Takes the folder that pseudo_label has written, and writes a list, a page beside it with clips of each class, and with
--soft the probabilities of each row as a Parquet file.
"""

import argparse

from video_rs.commands.file_work import add_root
from video_rs.runtime import start

EXAMPLES = (
    "runs/answers --out pseudo.csv --threshold 0.5 --labelled list.csv",
    "runs/answers --out pseudo.csv --soft --per-class 1000 --repeat 10 --labelled train.csv --val val.csv",
)
CODES = {0: "written", 2: "nothing is left, or the input was refused: one line says why"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("answers", metavar="DIR", help="folder that pseudo_label has written")
    parser.add_argument(
        "--out", required=True, metavar="CSV", help="the new list; a page, and soft labels, are written beside it"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=0.3,
        metavar="P",
        help="least probability of a video's best class (default: %(default)s)",
    )
    parser.add_argument(
        "--per-class",
        type=int,
        default=0,
        metavar="N",
        help="videos of a class at most, the surest ones, 0 for all (default: %(default)s)",
    )
    parser.add_argument(
        "--repeat",
        type=int,
        default=1,
        metavar="TIMES",
        help="how often a video of a rare class may stand in the list, which fills the class up to --per-class, or to "
        "the largest class (default: %(default)s)",
    )
    parser.add_argument(
        "--soft", action="store_true", help="write the probabilities, too (default: only the best class)"
    )
    parser.add_argument(
        "--labelled",
        nargs="+",
        metavar="LIST",
        help="lists whose training videos are left out, by file and by content; videos of their val and test rows are "
        "refused (default: none)",
    )
    parser.add_argument(
        "--val",
        nargs="+",
        metavar="LIST",
        help="further lists of validation videos, which are refused (default: none)",
    )
    add_root(parser)


def run(args: argparse.Namespace) -> None:
    """Write the list."""
    start.let_idle_threads_sleep()
    from video_rs.inference.pseudo_labels.selection import Balance
    from video_rs.runs.select_pseudo_labels import Selection, run_selection

    balance = Balance(args.threshold, args.per_class, args.repeat)
    labelled = tuple(args.labelled or ())
    val = tuple(args.val or ())
    run_selection(Selection(args.answers, args.out, balance, args.soft, labelled, val, args.root))
