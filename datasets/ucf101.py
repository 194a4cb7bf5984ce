"""List one split of UCF101: the official train and test lists matched with the videos that are there.

    python datasets/ucf101.py UCF-101 --lists ucfTrainTestlist --split 1

Makes data/ucf101/ucf101_split1.csv (path,label,split,id), whose val rows are the official test list, and labels.txt.
Running it again brings both up to date.
"""

import argparse
from pathlib import Path

from video_rs import cli
from video_rs.data.sources import ucf101
from video_rs.data.sources.prepare import class_count_note, prepare, train_command


def main() -> list[str]:
    """Parses the command line and writes; returns the lines of the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", help="folder of the videos, with or without class folders")
    parser.add_argument("--lists", required=True, help="the folder ucfTrainTestlist")
    parser.add_argument("--split", type=int, choices=(1, 2, 3), default=1, help="default: %(default)s")
    parser.add_argument("--out", default="data/ucf101", help="default: %(default)s")
    parser.add_argument("--missing", metavar="FILE", default="", help="write the ids that were not found, one a line")
    args = parser.parse_args()
    names = ucf101.read_classes(args.lists)
    path = Path(args.out) / f"ucf101_split{args.split}.csv"
    lines = prepare(
        ucf101.read_lists(args.lists, args.split, names), names, args.videos, path, args.missing, loose=True
    )
    note = class_count_note(len(names), 101, "UCF101")
    return [*lines, *note, *train_command("finetune/image_weights.yaml", path)]


if __name__ == "__main__":
    cli.run(lambda: print(*main(), sep="\n"))
