"""Prepare your own videos: a folder of class folders becomes a list with a split, a label map and a config.

Writes list.csv (path,label,split), labels.txt and config.yaml, and prints the command that trains. Running it again
brings all up to date; most videos keep their split when others come.
"""

from video_rs.runtime import start

start.take_interrupts()

from collections.abc import Sequence
from pathlib import Path

from video_rs.runtime import cli

EXAMPLES = (
    "python datasets/folder.py my_videos",
    "python datasets/folder.py my_videos --out data/mine --group-by '^(.*)_'",
)
CODES = {0: "the files are written, or stand there already", 2: "the input was refused: one line says why"}
COMMENT = """\
A small network from scratch on the videos of {videos}. Written by datasets/folder.py; what is not
here comes from _BASE_.

Command:   python tools/train_net.py --cfg {config}
Hardware:  a laptop's CPU.
Time:      not measured.
Expected:  not measured.
"""


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
        default=0.2,
        metavar="SHARE",
        help="of each class for validation, above 0 and below 1 (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="another one splits otherwise (default: %(default)s)")
    parser.add_argument(
        "--group-by",
        metavar="REGEX",
        default="",
        help="videos in whose names it finds the same text (its first group) stay in one split "
        "(default: each file is a video of its own)",
    )
    args = parser.parse_args()

    from video_rs.lists.sources.folder import mirrored_names, read_folder
    from video_rs.lists.sources.prepare import train_command
    from video_rs.lists.sources.writing import write_label_map, write_list

    found = read_folder(args.videos, val_share=args.val_share, seed=args.seed, group_by=args.group_by)
    out = Path(args.out or Path("data") / Path(args.videos).resolve().name)
    mirrored = mirrored_names(found.names)
    written = [
        write_label_map(out / "labels.txt", found.names),
        write_list(out / "list.csv", found.rows, args.videos),
        write_config(out, args.videos, mirrored),
    ]
    if mirrored:
        written.append(f"note: clips are not mirrored, because of the class {mirrored[0]}")
    return [f"{len(found.names)} classes", *found.notes, *written, *train_command(str(out / "config.yaml"))]


def write_config(out: Path, videos: str, mirrored: Sequence[str]) -> str:
    """Write the config beside the list; return the line that says so."""
    from video_rs.config import find_config
    from video_rs.lists.sources.writing import config_text, write_text

    path = out / "config.yaml"
    where = str(out.resolve() / "list.csv")
    data = {"TRAIN_LIST": where, "VAL_LIST": where, "LABEL_MAP": str(out.resolve() / "labels.txt")}
    if mirrored:
        data["RANDOM_FLIP"] = False
    values = {"OUTPUT_DIR": f"runs/{out.resolve().name}", "DATA": data}
    comment = COMMENT.format(videos=Path(videos).resolve(), config=path).splitlines()
    return write_text(path, config_text(comment, find_config("small_scratch"), values))


if __name__ == "__main__":
    cli.run(lambda: print(*main(), sep="\n"))
