"""Say what happens when in long videos: segments with start, end, label and probability.

Windows slide over each video, whatever its length; memory does not grow with it. With --out the segments are written as
JSON, CSV and subtitles (SRT, WebVTT), with a page that shows the film above its timeline.
"""

import argparse

from video_rs.commands.network import add_engine, add_network, add_reading, load_network
from video_rs.runtime import start

EXAMPLES = (
    "--checkpoint runs/mine video.mp4 --out timeline",
    "--checkpoint runs/mine rtsp://camera/stream --out timeline",
)
CODES = {
    0: "every video has its timeline; of a live one: it was ended by Ctrl-C, by --stop-after or with the stream",
    143: "a live video was ended by SIGTERM or SIGHUP, and its files are written",
    2: "some videos could not be read (the others have their timelines), or the input was refused: one line says why",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_network(parser)
    parser.add_argument(
        "videos",
        nargs="*",
        metavar="VIDEO",
        help="a video or the URL of one, or one live: webcam, webcam:1, rtsp://..., tcp://..., udp://..., srt://... "
        "(default: the videos of --against)",
    )
    parser.add_argument(
        "--out",
        default="",
        metavar="FOLDER",
        help="folder for the files, one in it for each of several videos (default: none are written)",
    )
    parser.add_argument(
        "--annotate", action="store_true", help="write annotated.mp4, too: the video with the labels drawn into it"
    )
    parser.add_argument(
        "--against",
        default="",
        metavar="LIST",
        help="list of annotated segments (path,start,end,label) to compare with: mAP at temporal IoU 0.1 to 0.7, and "
        "accuracy by frames; time without a row is not judged (default: none)",
    )
    parser.add_argument(
        "--split",
        default="",
        choices=("train", "val", "test"),
        help="rows of --against (default: val, or all rows of a list without splits)",
    )
    _add_windows(parser)
    _add_segments(parser)
    _add_live(parser)
    add_engine(parser)
    add_reading(parser)


def _add_windows(parser: argparse.ArgumentParser) -> None:
    """Add what windows are."""
    parser.add_argument(
        "--stride",
        type=float,
        metavar="SECONDS",
        help="from the start of a window to that of the next (default: half of a window)",
    )
    parser.add_argument(
        "--crops", type=int, default=1, choices=(1, 3), help="crops of each window (default: %(default)s)"
    )
    parser.add_argument(
        "--start", type=float, metavar="SECONDS", help="where to begin in the video (default: its start)"
    )
    parser.add_argument("--end", type=float, metavar="SECONDS", help="where to end in the video (default: its end)")


def _add_segments(parser: argparse.ArgumentParser) -> None:
    """Add what segments are."""
    parser.add_argument(
        "--smooth",
        type=float,
        metavar="SECONDS",
        help="average probabilities over so long, 0: not at all (default: a window)",
    )
    parser.add_argument(
        "--on",
        type=float,
        metavar="PROBABILITY",
        help="from which a segment begins (default: the checkpoint's threshold, or 0.5 where it has none)",
    )
    parser.add_argument(
        "--off", type=float, metavar="PROBABILITY", help="below which a segment ends (default: 0.6 of --on)"
    )
    parser.add_argument(
        "--shortest",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="drop segments that are shorter (default: %(default)g)",
    )


def _add_live(parser: argparse.ArgumentParser) -> None:
    """Add how a live video is followed."""
    parser.add_argument(
        "--live",
        action="store_true",
        help="follow VIDEO as it comes, whatever its address is: http://..., a named pipe",
    )
    parser.add_argument(
        "--lag",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="how old a window of a live video may get before its turn; older ones are dropped (default: %(default)g)",
    )
    parser.add_argument(
        "--reconnects",
        type=int,
        default=5,
        metavar="TIMES",
        help="how often in a row to connect to a live video again (default: %(default)s)",
    )
    parser.add_argument(
        "--stop-after",
        type=float,
        metavar="SECONDS",
        help="end a live video after so long (default: it ends with Ctrl-C)",
    )


def run(args: argparse.Namespace) -> None:
    """Make the timelines."""
    start.let_idle_threads_sleep()
    from video_rs.inference.timeline.live import LiveSettings
    from video_rs.inference.timeline.settings import TimelineSettings
    from video_rs.runs.live_timeline import live_address, run_live
    from video_rs.runs.timeline import TimelineJob, run_timelines

    settings = TimelineSettings(args.stride, args.smooth, args.on, args.off, args.shortest, args.crops)
    job = TimelineJob(
        args.videos, settings, args.out, args.start, args.end, args.annotate, against=args.against, split=args.split
    )
    live = LiveSettings(args.lag, args.reconnects, args.stop_after)
    address = live_address(job, args.live)
    if not address:
        live.refuse_for_files()

    # Windows take the place of views.
    predictor = load_network(args, views="published")
    if address:
        run_live(predictor, address, job, live)
    else:
        run_timelines(predictor, job)
