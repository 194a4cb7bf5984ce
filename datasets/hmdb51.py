"""List one split of HMDB51: the official split files matched with the videos that are there.

Writes hmdb51_split1.csv (path,label,split,id), whose val rows are the official test videos, and labels.txt, and says
how much of the official list was found. Running it again brings both up to date.
"""

from video_rs.runtime import start

start.take_interrupts()

from video_rs.lists.sources.options import SplitOptions
from video_rs.runtime import cli

EXAMPLES = (
    "python datasets/hmdb51.py hmdb51_org --lists testTrainMulti_7030_splits",
    "python datasets/hmdb51.py hmdb51_org --lists testTrainMulti_7030_splits --split 2 --out data/hmdb51_2",
)
CODES = {0: "the files are written, or stand there already", 2: "the input was refused: one line says why"}


def main() -> list[str]:
    """Parse the command line and write; return the lines of the report."""
    parser = cli.command_line(__doc__, EXAMPLES, CODES)
    parser.add_argument("videos", metavar="VIDEOS", help="folder of the videos, with or without class folders")
    parser.add_argument("--lists", required=True, metavar="FOLDER", help="the folder testTrainMulti_7030_splits")
    parser.add_argument(
        "--split", type=int, choices=(1, 2, 3), default=SplitOptions.split, help="which split (default: %(default)s)"
    )
    parser.add_argument(
        "--out", default="data/hmdb51", metavar="FOLDER", help="for what is written (default: %(default)s)"
    )
    parser.add_argument(
        "--missing", metavar="FILE", default="", help="file for the ids that were not found, one a line (default: none)"
    )
    args = parser.parse_args()

    from video_rs.lists.sources import hmdb51

    options = SplitOptions(
        videos=args.videos, lists=args.lists, output=args.out, split=args.split, missing=args.missing
    )
    return hmdb51.make_list(options)


if __name__ == "__main__":
    cli.run(lambda: print(*main(), sep="\n"))
