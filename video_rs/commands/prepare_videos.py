"""Prepare videos for training: small, and quick to read from anywhere inside.

Encodes every file of a list, or of a folder of class folders, again, with key frames close together. FOLDER/list.csv
lists the new files as LIST did the old ones. Running it again goes on where it stopped.
"""

import argparse

from video_rs.commands.file_work import add_list, add_path_handlers, add_root, add_time_limit, require_all_done
from video_rs.curation.prepare.options import KEPT_FRAMES, PrepareOptions

EXAMPLES = (
    "list.csv --out data/prepared",
    "my_videos --out data/small --short-side 128 --processes 2",
)
CODES = {
    0: "all files are prepared",
    2: "some files could not be prepared (they are in FOLDER/failures.csv, the others are prepared), or the input was "
    "refused: one line says why",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_list(parser)
    add_root(parser)
    parser.add_argument(
        "--short-side",
        type=int,
        default=PrepareOptions.short_side,
        metavar="PIXELS",
        help="of the new files, an even number; none is enlarged (default: %(default)s)",
    )
    parser.add_argument(
        "--stride",
        type=int,
        default=PrepareOptions.stride,
        metavar="FRAMES",
        help="DATA.SAMPLING_RATE of the training that will read them: with DATA.START_MULTIPLE the same, the frames "
        "between are not decoded (default: %(default)s)",
    )
    parser.add_argument(
        "--keyframe-interval",
        type=int,
        metavar="FRAMES",
        help=f"from one key frame to the next (default: {KEPT_FRAMES} times the stride)",
    )
    parser.add_argument(
        "--crf",
        type=int,
        default=PrepareOptions.crf,
        help="of x264, 0 to 51: lower is better and larger (default: %(default)s)",
    )
    parser.add_argument(
        "--program",
        default=PrepareOptions.program,
        help="what encodes: pyav, or ffmpeg if it is installed (default: %(default)s)",
    )
    parser.add_argument("--processes", type=int, help="files prepared at once (default: one on each core)")
    add_time_limit(parser, PrepareOptions.time_limit)
    parser.add_argument("--overwrite", action="store_true", help="make all videos of FOLDER again")
    add_path_handlers(parser)


def run(args: argparse.Namespace) -> None:
    """Prepare the videos."""
    from video_rs.curation.prepare.preparation import run_preparation
    from video_rs.runtime.workers import usable_cores
    from video_rs.video.fetching import handler_names

    options = PrepareOptions(
        source=args.list,
        output=args.out,
        root=args.root,
        short_side=args.short_side,
        stride=args.stride,
        keyframe_interval=args.keyframe_interval,
        crf=args.crf,
        program=args.program,
        processes=usable_cores() if args.processes is None else args.processes,
        time_limit=args.time_limit,
        overwrite=args.overwrite,
        path_handlers=handler_names(args.path_handlers),
    )
    files = run_preparation(options)
    require_all_done(files.failed, files.total, "prepared", args.out)
