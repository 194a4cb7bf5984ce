"""List Something-Something v2: the official JSON files matched with the videos that are there.

Writes ssv2.csv (path,label,split,id), labels.txt, and ssv2.yaml, a config that never mirrors a clip: some of the
classes differ in left and right only. Says how much of the official list was found. Running it again brings all up to
date.
"""

from video_rs.runtime import start

start.take_interrupts()

from video_rs.lists.sources.options import Ssv2Options
from video_rs.runtime import cli

EXAMPLES = (
    "python datasets/ssv2.py 20bn-something-something-v2 --labels labels",
    "python datasets/ssv2.py 20bn-something-something-v2 --labels labels --missing missing.txt",
)
CODES = {0: "the files are written, or stand there already", 2: "the input was refused: one line says why"}


def main() -> list[str]:
    """Parse the command line and write; return the lines of the report."""
    parser = cli.command_line(__doc__, EXAMPLES, CODES)
    parser.add_argument("videos", metavar="VIDEOS", help="folder of the videos, ID.webm")
    parser.add_argument(
        "--labels", required=True, metavar="FOLDER", help="of labels.json, train.json and validation.json"
    )
    parser.add_argument(
        "--out", default=Ssv2Options.output, metavar="FOLDER", help="for what is written (default: %(default)s)"
    )
    parser.add_argument(
        "--missing", metavar="FILE", default="", help="file for the ids that were not found, one a line (default: none)"
    )
    args = parser.parse_args()

    from video_rs.config import find_config
    from video_rs.lists.sources import ssv2

    options = Ssv2Options(
        videos=args.videos,
        labels=args.labels,
        base_config=find_config("kinetics_rs"),
        output=args.out,
        missing=args.missing,
    )
    return ssv2.make_list(options)


if __name__ == "__main__":
    cli.run(lambda: print(*main(), sep="\n"))
