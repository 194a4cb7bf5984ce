"""Pack videos into shards: ``pack_shards.py LIST --out FOLDER``.

Puts the files of a list, or of a folder of class folders, into tar archives in WebDataset's layout: few large files in
place of many small ones. FOLDER/list.csv lists the videos inside them as LIST did the loose ones. They are packed as
they are: prepare them first (prepare_videos.py). Running it again goes on where it stopped. Exit code 0: all packed; 1:
some are in FOLDER/failures.csv; 2: the input was refused.
"""

import argparse
import sys

from video_rs import cli


def main() -> None:
    """Parses the command line and packs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", metavar="LIST", help="list file, or folder of class folders")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder for what is written")
    parser.add_argument("--shard-size", type=float, default=1000.0, metavar="MB", help="(default: %(default)g)")
    parser.add_argument("--root", default="", help="what relative paths start from; default: the list's own folder")
    parser.add_argument("--seed", type=int, default=0, help="of the order in the shards (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="pack all files again")
    parser.add_argument("--path-handlers", default="", metavar="NAMES", help="as DATA.PATH_HANDLERS: module:Class,...")
    args = parser.parse_args()

    from video_rs.data.decoding.fetching import handler_names
    from video_rs.jobs.packing import run_packing

    outcome = run_packing(
        args.list,
        args.out,
        root=args.root,
        shard_size=args.shard_size,
        seed=args.seed,
        overwrite=args.overwrite,
        path_handlers=handler_names(args.path_handlers),
    )
    if outcome.failed:
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main)
