"""Prepare your own videos: a folder of class folders becomes a list with a split, a label map and a config.

Writes list.csv (path,label,split), labels.txt and config.yaml, and prints the command that trains. Running it again
brings all up to date; most videos keep their split when others come.
"""

from video_rs.runtime import start

start.take_interrupts()

from video_rs.lists.sources.options import FolderOptions
from video_rs.runtime import cli

EXAMPLES = (
    "python datasets/folder.py my_videos",
    "python datasets/folder.py my_videos --out data/mine --group-by '^(.*)_'",
)
CODES = {0: "the files are written, or stand there already", 2: "the input was refused: one line says why"}


def main() -> list[str]:
    """Parse the command line and write; return the lines of the report."""
    parser = cli.command_line(__doc__, EXAMPLES, CODES)
    parser.add_argument(
        "videos", metavar="VIDEOS", help="a folder of class folders, or of train and val with class folders in them"
    )
    parser.add_argument("--out", metavar="FOLDER", help="for what is written (default: data/NAME of VIDEOS)")
    parser.add_argument(
        "--val-share",
        type=float,
        default=FolderOptions.val_share,
        metavar="SHARE",
        help="of each class for validation, above 0 and below 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=FolderOptions.seed, help="another one splits otherwise (default: %(default)s)"
    )
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        default="",
        help="videos in whose names it finds the same text (its first group) stay in one split "
        "(default: each file is a video of its own)",
    )
    args = parser.parse_args()

    from video_rs.config import find_config
    from video_rs.lists.sources import folder

    options = FolderOptions(
        videos=args.videos,
        base_config=find_config("small_scratch"),
        output=args.out or "",
        val_share=args.val_share,
        seed=args.seed,
        group_by=args.group_by,
    )
    return folder.make_list(options)


if __name__ == "__main__":
    cli.run(lambda: print(*main(), sep="\n"))
