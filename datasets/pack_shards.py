"""Pack videos into shards: few large files in place of many small ones.

Puts the files of a list, or of a folder of class folders, into tar archives in WebDataset's layout. FOLDER/list.csv
lists the videos inside them as LIST did the loose ones. They are packed as they are: prepare them first
(prepare_videos.py). Running it again goes on where it stopped.
"""

from video_rs.runtime import start

start.take_interrupts()

from video_rs.curation.shards.options import PackOptions
from video_rs.runtime import cli

EXAMPLES = (
    "python datasets/pack_shards.py data/prepared/list.csv --out data/shards",
    "python datasets/pack_shards.py data/prepared/list.csv --out data/shards --shard-size 200 --overwrite",
)
CODES = {
    0: "all files are packed",
    2: "some files could not be packed (they are in FOLDER/failures.csv, the others are packed), or the input was "
    "refused: one line says why",
}


def main() -> None:
    """Parse the command line and pack."""
    parser = cli.command_line(__doc__, EXAMPLES, CODES)
    parser.add_argument("list", metavar="LIST", help="list file, or folder of class folders")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="folder for what is written")
    parser.add_argument(
        "--shard-size",
        type=float,
        default=PackOptions.shard_size,
        metavar="MB",
        help="of video in one archive (default: %(default)g)",
    )
    parser.add_argument(
        "--root",
        default="",
        metavar="FOLDER",
        help="what relative paths start from (default: the list's own folder)",
    )
    parser.add_argument(
        "--seed", type=int, default=PackOptions.seed, help="of the order in the shards (default: %(default)s)"
    )
    parser.add_argument("--overwrite", action="store_true", help="pack all files again")
    parser.add_argument(
        "--path-handlers",
        default="",
        metavar="NAMES",
        help="iopath handlers of URLs, module:Class with commas between them, as DATA.PATH_HANDLERS (default: http)",
    )
    args = parser.parse_args()

    from video_rs.curation.shards.packing import run_packing
    from video_rs.runtime.errors import InputError
    from video_rs.runtime.wording import pluralize
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
    if files.failed:
        raise InputError(
            f"{files.failed} of {pluralize(files.total, 'file')} could not be packed; {args.out}/failures.csv says why"
        )


if __name__ == "__main__":
    cli.run(main)
