"""Test a trained network on a list of videos: several views of each, and the mean of their probabilities.

Writes metrics.json, predictions.jsonl and report.html into the folder test of the run, those of another list into a
folder of their own in it. With --knn the features are tested instead of the classifier, on any data set, with nothing
trained.
"""

from video_rs.runtime import start

start.take_interrupts()

import os

# Idle threads of one process must not spin on the cores that its reading processes need.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from video_rs.runtime import cli

EXAMPLES = (
    "python tools/test_net.py --checkpoint runs/mine",
    "python tools/test_net.py --checkpoint runs/mine --list other.csv TEST.NUM_ENSEMBLE_VIEWS 4",
)
CODES = {
    0: "tested; videos that could not be read are counted as failed",
    2: "no video could be read, or the input was refused: one line says why",
}


def main() -> None:
    """Parse the command line and test."""
    parser = cli.command_line(__doc__, EXAMPLES, CODES)
    parser.add_argument("--checkpoint", required=True, metavar="CKPT", help="a run's folder, or a .pth file of one")
    parser.add_argument(
        "--list", default="", help="list file or folder to test on (default: the DATA.VAL_LIST of the run)"
    )
    parser.add_argument(
        "--split",
        default="",
        choices=("train", "val", "test"),
        help="rows of the list to test on; results of train and test are in test_SPLIT (default: val, or all rows of a "
        "list without splits)",
    )
    parser.add_argument(
        "--knn",
        type=int,
        metavar="K",
        help="leave the classifier out: the K nearest training videos vote, found by their features; the training "
        "videos are the train rows of --list, if it has any, else DATA.TRAIN_LIST; results are in the folder knn of "
        "the run (default: test the classifier)",
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY VALUE",
        help="config keys to set, such as OUTPUT_DIR FOLDER or TEST.NUM_SPATIAL_CROPS 1 (default: as in training); "
        "python -m video_rs.config lists them all",
    )
    args = parser.parse_intermixed_args()

    if args.knn is None:
        from video_rs.runs.test import run_test

        run_test(args.checkpoint, args.list, args.overrides, args.split)
    else:
        from video_rs.runs.knn import run_knn

        run_knn(args.checkpoint, args.knn, args.list, args.overrides, args.split)


if __name__ == "__main__":
    cli.run(main)
