"""Look through the doubtful videos of a list in a browser, and write a new list with what you decide.

Shows the surest mistakes of a network, its least sure answers, and the videos that could not be read. A key gives a
video another class, says that its class is right, or marks it as broken. The old list stays; broken videos are in a
list of their own beside the new one. A second review goes on where the first one stopped.
"""

import argparse

from video_rs.commands.file_work import add_path_handlers, add_root, add_time_limit

EXAMPLES = (
    "runs/mine",
    "runs/mine --most 50 --out better.csv",
)
CODES = {0: "the page was closed (Ctrl-C)", 2: "the input was refused: one line says why"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "predictions",
        metavar="RUN",
        help="a predictions.parquet, or a folder that holds one: a run's, whose test counts before its last validation",
    )
    parser.add_argument(
        "--list", default="", metavar="LIST", help="the list that was tested (default: as the predictions say)"
    )
    add_root(parser)
    parser.add_argument(
        "--out", default="", metavar="FILE", help="the new list (default: reviewed.csv beside the predictions)"
    )
    parser.add_argument(
        "--most", type=int, default=200, metavar="N", help="videos of each kind to look at (default: %(default)s)"
    )
    add_address(parser, port=7861)
    add_time_limit(parser, seconds=60.0)
    add_path_handlers(parser)


def add_address(parser: argparse.ArgumentParser, port: int) -> None:
    """Add where a page listens."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where the page listens; the default is reached from this machine alone (default: %(default)s)",
    )
    parser.add_argument(
        "--port", type=int, default=port, help="of the page; 0 takes any free one (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Serve the page."""
    from video_rs.runs.review import ReviewJob, run_review

    run_review(ReviewJob(**vars(args)))
