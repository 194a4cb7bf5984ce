"""Check a data set before training on it: broken, doubled and leaked videos, classes without rows, odd files.

Probes every file once, in processes of its own, and writes clean.csv, the rows to train on; quarantine.csv, the others
with their reasons; check.json; check.html, a page with pictures; and probes.sqlite, which DATA.CACHE takes.
"""

import argparse
import sys

from video_rs.commands.file_work import add_path_handlers, add_root, add_time_limit
from video_rs.curation.doctor.options import CheckOptions

EXAMPLES = (
    "list.csv --out check",
    "my_videos --out check --all-frames",
)
CODES = {
    0: "clean",
    1: "some rows have problems and are in quarantine.csv, or something else went wrong: a traceback says what",
    2: "the input was refused: one line says why",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("lists", nargs="+", metavar="LIST", help="list file, or folder of class folders")
    parser.add_argument(
        "--out", default="check", metavar="FOLDER", help="folder for what is written (default: %(default)s)"
    )
    add_root(parser)
    parser.add_argument(
        "--label-map",
        default="",
        metavar="FILE",
        help="one class name a line (default: the names of the train rows, sorted)",
    )
    parser.add_argument(
        "--cache",
        default="",
        metavar="FILE",
        help="SQLite file of what was found before, whose files are not probed again (default: probes.sqlite in --out)",
    )
    parser.add_argument("--all-frames", action="store_true", help="decode every frame, not only first and last")
    parser.add_argument("--processes", type=int, help="files probed at once (default: one on each core)")
    add_time_limit(parser, CheckOptions.time_limit)
    parser.add_argument(
        "--min-frames",
        type=int,
        default=64,
        metavar="FRAMES",
        help="videos with fewer are noted as short (default: %(default)s, which 32 frames of stride 2 reach over)",
    )
    parser.add_argument(
        "--target-fps",
        type=float,
        default=CheckOptions.target_fps,
        metavar="RATE",
        help="frames per second that --min-frames counts in, as DATA.TARGET_FPS (default: each video's own)",
    )
    add_path_handlers(parser)


def run(args: argparse.Namespace) -> None:
    """Check the data set."""
    from video_rs.curation.doctor.check import run_check
    from video_rs.runtime.workers import usable_cores
    from video_rs.video.fetching import handler_names

    options = CheckOptions(
        lists=tuple(args.lists),
        output=args.out,
        root=args.root,
        label_map=args.label_map,
        cache=args.cache,
        depth="all" if args.all_frames else "ends",
        clip_reach=args.min_frames,
        target_fps=args.target_fps,
        processes=usable_cores() if args.processes is None else args.processes,
        time_limit=args.time_limit,
        path_handlers=handler_names(args.path_handlers),
    )
    diagnosis = run_check(options)
    if not diagnosis.clean:
        sys.exit(1)
