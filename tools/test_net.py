"""Test a checkpoint with all its views: ``test_net.py --checkpoint CKPT [--list LIST] [KEY VALUE ...]``.

With ``--knn K`` its features are tested instead of its classifier, on any data set, with nothing trained.
"""

import argparse
import os

# Idle threads of one process must not spin on the cores that its reading processes need.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from video_rs import cli


def main() -> None:
    """Parses the command line and tests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", required=True, metavar="CKPT", help="a .pth file of a run")
    parser.add_argument("--list", default="", help="list to test on; default: the run's DATA.VAL_LIST")
    parser.add_argument(
        "--knn",
        type=int,
        metavar="K",
        help="leave the classifier out: the K nearest training videos vote, found by their features; the training "
        "videos are the train rows of --list, if it has any, else DATA.TRAIN_LIST; results in knn beside the run's",
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys to set, e.g. OUTPUT_DIR")
    args = parser.parse_intermixed_args()

    if args.knn is None:
        from video_rs.jobs.testing import run_test

        run_test(args.checkpoint, args.list, args.overrides)
    else:
        from video_rs.jobs.knn import run_knn

        run_knn(args.checkpoint, args.knn, args.list, args.overrides)


if __name__ == "__main__":
    cli.run(main)
