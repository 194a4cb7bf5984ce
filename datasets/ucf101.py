"""List one split of UCF101: the official train and test lists matched with the videos that are there.

Writes ucf101_split1.csv (path,label,split,id), whose val rows are the official test list, and labels.txt, and says
how much of the official list was found. Running it again brings both up to date.
"""

from video_rs.runtime import start

start.take_interrupts()

from video_rs.lists.sources.options import SplitOptions
from video_rs.runtime import cli

EXAMPLES = (
    "python datasets/ucf101.py UCF-101 --lists ucfTrainTestlist",
    "python datasets/ucf101.py UCF-101 --lists ucfTrainTestlist --split 2 --missing missing.txt",
)
CODES = {0: "the files are written, or stand there already", 2: "the input was refused: one line says why"}


def main() -> list[str]:
    """Parse the command line and write; return the lines of the report."""
    parser = cli.command_line(__doc__, EXAMPLES, CODES)
    parser.add_argument("videos", metavar="VIDEOS", help="folder of the videos, with or without class folders")
    parser.add_argument("--lists", required=True, metavar="FOLDER", help="the folder ucfTrainTestlist")
    parser.add_argument(
        "--split", type=int, choices=(1, 2, 3), default=SplitOptions.split, help="which split (default: %(default)s)"
    )
    parser.add_argument(
        "--out", default="data/ucf101", metavar="FOLDER", help="for what is written (default: %(default)s)"
    )
    parser.add_argument(
        "--missing", metavar="FILE", default="", help="file for the ids that were not found, one a line (default: none)"
    )
    args = parser.parse_args()

    from video_rs.lists.sources import ucf101

    options = SplitOptions(
        videos=args.videos, lists=args.lists, output=args.out, split=args.split, missing=args.missing
    )
    return ucf101.make_list(options)


if __name__ == "__main__":
    cli.run(lambda: print(*main(), sep="\n"))
