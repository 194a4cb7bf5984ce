"""List Kinetics-400, -600 or -700: the official CSVs matched with the videos that are there.

Writes kinetics400.csv (path,label,split,id) and labels.txt, and says how much of the official list was found. Running
it again brings both up to date.
"""

from video_rs.runtime import start

start.take_interrupts()

from video_rs.lists.sources.options import KineticsOptions
from video_rs.runtime import cli

EXAMPLES = (
    "python datasets/kinetics.py /videos --classes 400 --csv train.csv validate.csv",
    "python datasets/kinetics.py /videos --classes 700 --csv train.csv validate.csv test.csv --missing missing.txt",
)
CODES = {0: "the files are written, or stand there already", 2: "the input was refused: one line says why"}


def main() -> list[str]:
    """Parse the command line and write; return the lines of the report."""
    parser = cli.command_line(__doc__, EXAMPLES, CODES)
    parser.add_argument(
        "videos", metavar="VIDEOS", help="folder of the videos, with or without folders of splits and classes"
    )
    parser.add_argument("--classes", type=int, choices=(400, 600, 700), required=True, help="which Kinetics")
    parser.add_argument(
        "--csv", nargs="+", required=True, metavar="FILE", help="the official CSVs of all splits to list"
    )
    parser.add_argument("--out", metavar="FOLDER", help="for what is written (default: data/kinetics400, 600 or 700)")
    parser.add_argument(
        "--untrimmed", action="store_true", help="files ID.mp4 are whole videos: list start and end in seconds"
    )
    parser.add_argument(
        "--missing", metavar="FILE", default="", help="file for the ids that were not found, one a line (default: none)"
    )
    args = parser.parse_args()

    from video_rs.lists.sources import kinetics

    options = KineticsOptions(
        videos=args.videos,
        csv_files=tuple(args.csv),
        num_classes=args.classes,
        output=args.out or "",
        untrimmed=args.untrimmed,
        missing=args.missing,
    )
    return kinetics.make_list(options)


if __name__ == "__main__":
    cli.run(lambda: print(*main(), sep="\n"))
