"""Test a checkpoint with all its views: ``test_net.py --checkpoint CKPT [--list LIST] [KEY VALUE ...]``."""

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
    parser.add_argument("overrides", nargs="*", metavar="KEY VALUE", help="config keys to set, e.g. OUTPUT_DIR")
    args = parser.parse_intermixed_args()

    from video_rs.jobs.testing import run_test

    run_test(args.checkpoint, args.list, args.overrides)


if __name__ == "__main__":
    cli.run(main)
