"""Prepare videos for training: ``prepare_videos.py LIST --out FOLDER``.

Encodes every file of a list, or of a folder of class folders, again: smaller, with key frames close together, which a
random clip is quick to read from. FOLDER/list.csv lists the new files as LIST did the old ones. Running it again goes
on where it stopped. Exit code 0: all prepared; 1: some are in FOLDER/failures.csv; 2: the input was refused.
"""

import argparse
import sys

from video_rs import cli


def main() -> None:
    """Parses the command line and prepares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", metavar="LIST", help="list file, or folder of class folders")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder for what is written")
    parser.add_argument("--root", default="", help="what relative paths start from; default: the list's own folder")
    parser.add_argument("--short-side", type=int, default=320, help="pixels; none is enlarged (default: %(default)s)")
    parser.add_argument("--keyframe-interval", type=int, default=12, help="frames (default: %(default)s)")
    parser.add_argument("--crf", type=int, default=18, help="of x264: lower is better, bigger (default: %(default)s)")
    parser.add_argument("--program", default="pyav", help="pyav, or ffmpeg if installed (default: %(default)s)")
    parser.add_argument("--processes", type=int, help="files prepared at once; default: one on each core")
    parser.add_argument("--time-limit", type=float, default=600.0, help="seconds for one file (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="make all videos of FOLDER again")
    parser.add_argument("--path-handlers", default="", metavar="NAMES", help="as DATA.PATH_HANDLERS: module:Class,...")
    args = parser.parse_args()

    from video_rs.data.decoding.fetching import handler_names
    from video_rs.data.processes import usable_cores
    from video_rs.jobs.preparing import run_preparation

    outcome = run_preparation(
        args.list,
        args.out,
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
    if outcome.failed:
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main)
