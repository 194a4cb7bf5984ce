"""List Something-Something v2: the official JSON files matched with the videos that are there.

Writes ssv2.csv (path,label,split,id), labels.txt, and ssv2.yaml, a config that never mirrors a clip: some of the
classes differ in left and right only. Says how much of the official list was found. Running it again brings all up to
date.
"""

from video_rs.runtime import start

start.take_interrupts()

from pathlib import Path

from video_rs.runtime import cli

EXAMPLES = (
    "python datasets/ssv2.py 20bn-something-something-v2 --labels labels",
    "python datasets/ssv2.py 20bn-something-something-v2 --labels labels --missing missing.txt",
)
CODES = {0: "the files are written, or stand there already", 2: "the input was refused: one line says why"}
COMMENT = """\
R3D-RS-50 on Something-Something v2. Written by datasets/ssv2.py.

Command:   python tools/train_net.py --cfg {path}
Hardware:  as kinetics_rs.yaml: its batch of 1024 clips wants about 32 large GPUs, or TRAIN.ACCUMULATION_STEPS. With a
           smaller TRAIN.BATCH_SIZE, lower SOLVER.BASE_LR in proportion.
Time:      not measured.
Expected:  not measured.

RANDOM_FLIP must be false: mirrored, "from left to right" shows "from right to left".
SAMPLING_RATE is 1: the videos have 12 frames a second and last about four seconds.
"""


def main() -> list[str]:
    """Parse the command line and write; return the lines of the report."""
    parser = cli.command_line(__doc__, EXAMPLES, CODES)
    parser.add_argument("videos", metavar="VIDEOS", help="folder of the videos, ID.webm")
    parser.add_argument(
        "--labels", required=True, metavar="FOLDER", help="of labels.json, train.json and validation.json"
    )
    parser.add_argument(
        "--out", default="data/ssv2", metavar="FOLDER", help="for what is written (default: %(default)s)"
    )
    parser.add_argument(
        "--missing", metavar="FILE", default="", help="file for the ids that were not found, one a line (default: none)"
    )
    args = parser.parse_args()

    from video_rs.lists.sources import ssv2
    from video_rs.lists.sources.prepare import class_count_note, prepare, train_command

    names = ssv2.read_classes(args.labels)
    path = Path(args.out) / "ssv2.csv"
    lines = prepare(ssv2.read_lists(args.labels, names), names, args.videos, path, args.missing)
    lines.append(write_config(path, len(names)))
    config = path.with_suffix(".yaml")
    return [
        *lines,
        *class_count_note(len(names), 174, "Something-Something v2"),
        "DATA.RANDOM_FLIP must be false here, as some classes differ in left and right only; the config has it so",
        *train_command(str(config)),
    ]


def write_config(list_path: Path, num_classes: int) -> str:
    """Write the config beside the list; return the line that says so."""
    from video_rs.config import find_config
    from video_rs.lists.sources.writing import config_text, write_text

    path = list_path.with_suffix(".yaml")
    where = str(list_path.resolve())
    data = {"TRAIN_LIST": where, "VAL_LIST": where, "LABEL_MAP": str(list_path.resolve().with_name("labels.txt"))}
    values = {
        "OUTPUT_DIR": "runs/ssv2",
        "MODEL": {"NUM_CLASSES": num_classes},
        "DATA": {**data, "SAMPLING_RATE": 1, "RANDOM_FLIP": False},
    }
    return write_text(path, config_text(COMMENT.format(path=path).splitlines(), find_config("kinetics_rs"), values))


if __name__ == "__main__":
    cli.run(lambda: print(*main(), sep="\n"))
