"""Pack videos into shards: few large files in place of many small ones.

Puts the files of a list, or of a folder of class folders, into tar archives in WebDataset's layout. FOLDER/list.csv
lists the videos inside them as LIST did the loose ones. They are packed as they are: prepare them first
(prepare_videos). Running it again goes on where it stopped.
"""

import argparse

from video_rs.commands.file_work import add_list, add_path_handlers, add_root, require_all_done
from video_rs.curation.shards.options import PackOptions

EXAMPLES = (
    "data/prepared/list.csv --out data/shards",
    "data/prepared/list.csv --out data/shards --shard-size 200 --overwrite",
)
CODES = {
    0: "all files are packed",
    2: "some files could not be packed (they are in FOLDER/failures.csv, the others are packed), or the input was "
    "refused: one line says why",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_list(parser)
    parser.add_argument(
        "--shard-size",
        type=float,
        default=PackOptions.shard_size,
        metavar="MB",
        help="of video in one archive (default: %(default)g)",
    )
    add_root(parser)
    parser.add_argument(
        "--seed", type=int, default=PackOptions.seed, help="of the order in the shards (default: %(default)s)"
    )
    parser.add_argument("--overwrite", action="store_true", help="pack all files again")
    add_path_handlers(parser)


def run(args: argparse.Namespace) -> None:
    """Pack the videos."""
    from video_rs.curation.shards.packing import run_packing
    from video_rs.video.fetching import handler_names

    options = PackOptions(
        source=args.list,
        output=args.out,
        root=args.root,
        shard_size=args.shard_size,
        seed=args.seed,
        overwrite=args.overwrite,
        path_handlers=handler_names(args.path_handlers),
    )
    files = run_packing(options)
    require_all_done(files.failed, files.total, "packed", args.out)
