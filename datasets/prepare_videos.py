"""Prepare videos for training: small, and quick to read from anywhere inside.

Encodes every file of a list, or of a folder of class folders, again, with key frames close together. FOLDER/list.csv
lists the new files as LIST did the old ones. Running it again goes on where it stopped.
"""

from video_rs.runtime import start

start.take_interrupts()

import argparse

from video_rs.curation.prepare.options import PrepareOptions
from video_rs.runtime import cli

EXAMPLES = (
    "python datasets/prepare_videos.py list.csv --out data/prepared",
    "python datasets/prepare_videos.py my_videos --out data/small --short-side 128 --processes 2",
)
CODES = {
    0: "all files are prepared",
    2: "some files could not be prepared (they are in FOLDER/failures.csv, the others are prepared), or the input was "
    "refused: one line says why",
}


def options_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = cli.command_line(__doc__, EXAMPLES, CODES)
    parser.add_argument("list", metavar="LIST", help="list file, or folder of class folders")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder for what is written")
    parser.add_argument(
        "--root",
        default="",
        metavar="FOLDER",
        help="what relative paths start from (default: the list's own folder)",
    )
    parser.add_argument(
        "--short-side",
        type=int,
        default=PrepareOptions.short_side,
        metavar="PIXELS",
        help="of the new files, an even number; none is enlarged (default: %(default)s)",
    )
    parser.add_argument(
        "--keyframe-interval",
        type=int,
        default=PrepareOptions.keyframe_interval,
        metavar="FRAMES",
        help="from one key frame to the next (default: %(default)s)",
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
    parser.add_argument(
        "--time-limit",
        type=float,
        default=PrepareOptions.time_limit,
        metavar="SECONDS",
        help="for one file (default: %(default)g)",
    )
    parser.add_argument("--overwrite", action="store_true", help="make all videos of FOLDER again")
    parser.add_argument(
        "--path-handlers",
        default="",
        metavar="NAMES",
        help="iopath handlers of URLs, module:Class with commas between them, as DATA.PATH_HANDLERS (default: http)",
    )
    return parser


def main() -> None:
    """Parse the command line and prepare."""
    args = options_parser().parse_args()

    from video_rs.curation.prepare.preparation import run_preparation
    from video_rs.runtime.errors import InputError
    from video_rs.runtime.wording import pluralize
    from video_rs.runtime.workers import usable_cores
    from video_rs.video.fetching import handler_names

    options = PrepareOptions(
        source=args.list,
        output=args.out,
        root=args.root,
        short_side=args.short_side,
        keyframe_interval=args.keyframe_interval,
        crf=args.crf,
        program=args.program,
        processes=usable_cores() if args.processes is None else args.processes,
        time_limit=args.time_limit,
        overwrite=args.overwrite,
        path_handlers=handler_names(args.path_handlers),
    )
    files = run_preparation(options)
    if files.failed:
        raise InputError(
            f"{files.failed} of {pluralize(files.total, 'file')} could not be prepared; "
            f"{args.out}/failures.csv says why"
        )


if __name__ == "__main__":
    cli.run(main)
