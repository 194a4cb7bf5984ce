"""Check a data set before training on it: ``check_dataset.py LIST [LIST ...] [--out FOLDER]``.

Probes every file once, in processes of its own, and writes clean.csv, quarantine.csv, check.json and check.html.
Exit code 0: clean; 1: some rows have problems and are in quarantine.csv; 2: the lists cannot be read.
"""

import argparse
import sys

from video_rs import cli


def main() -> None:
    """Parses the command line and checks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs="+", metavar="LIST", help="list file, or folder of class folders")
    parser.add_argument("--out", default="check", help="folder for what is written (default: %(default)s)")
    parser.add_argument("--root", default="", help="what relative paths start from; default: the list's own folder")
    parser.add_argument("--label-map", default="", help="file with one class name a line")
    parser.add_argument("--cache", default="", help="SQLite file of probes, also for DATA.CACHE; default: in OUT")
    parser.add_argument("--all-frames", action="store_true", help="decode every frame, not only first and last")
    parser.add_argument("--processes", type=int, help="files probed at once; default: one on each core")
    parser.add_argument("--time-limit", type=float, default=30.0, help="seconds for one file (default: %(default)s)")
    parser.add_argument("--min-frames", type=int, default=64, help="fewer are short (default: 32 frames, stride 2)")
    parser.add_argument("--path-handlers", default="", metavar="NAMES", help="as DATA.PATH_HANDLERS: module:Class,...")
    args = parser.parse_args()

    from video_rs.data.decoding.fetching import handler_names
    from video_rs.data.processes import usable_cores
    from video_rs.jobs.checking import run_check

    diagnosis = run_check(
        args.lists,
        args.out,
        root=args.root,
        label_map=args.label_map,
        cache=args.cache,
        depth="all" if args.all_frames else "ends",
        processes=usable_cores() if args.processes is None else args.processes,
        time_limit=args.time_limit,
        clip_reach=args.min_frames,
        path_handlers=handler_names(args.path_handlers),
    )
    if not diagnosis.clean:
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main)
