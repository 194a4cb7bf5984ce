"""Serve a page in the browser on which anybody tries a trained network: send a video, read its classes.

Shows the best classes, whether the network is unsure, where it looks, and what happens when in the video. Videos are
uploads, or validation videos of the run. Needs Gradio (pip install 'video_rs[demo]'). Programs send a video to
/api/predict.
"""

import argparse

from video_rs.commands.file_work import add_time_limit
from video_rs.commands.network import add_device, add_engine, engine_choice
from video_rs.commands.review import add_address
from video_rs.commands.test import add_checkpoint

EXAMPLES = (
    "--checkpoint runs/mine",
    "--checkpoint runs/mine --port 0 --max-mb 20 --max-seconds 60",
)
CODES = {0: "the page was closed (Ctrl-C)", 2: "the input was refused: one line says why"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    add_address(parser, port=7860)
    add_device(parser)
    add_engine(parser)
    parser.add_argument(
        "--examples", type=int, default=8, metavar="N", help="validation videos to choose from (default: %(default)s)"
    )
    parser.add_argument(
        "--max-mb", type=float, default=100.0, metavar="MB", help="of an uploaded file (default: %(default)g)"
    )
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=300.0,
        metavar="SECONDS",
        help="that an uploaded video may last (default: %(default)g)",
    )
    parser.add_argument(
        "--max-waiting",
        type=int,
        default=64,
        metavar="N",
        help="videos that may wait; one more is told to come again (default: %(default)s)",
    )
    parser.add_argument("--processes", type=int, default=1, help="videos that are read at once (default: %(default)s)")
    add_time_limit(parser, seconds=60.0)


def run(args: argparse.Namespace) -> None:
    """Serve the page."""
    from video_rs.runs.demo_app import DemoJob, run_demo_app
    from video_rs.runs.demo_app.limits import Limits

    limits = Limits(args.max_mb, args.max_seconds, args.time_limit, args.max_waiting)
    run_demo_app(
        DemoJob(
            args.checkpoint,
            args.host,
            args.port,
            args.device,
            args.examples,
            limits,
            args.processes,
            engine_choice(args),
        )
    )
