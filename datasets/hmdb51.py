"""List one split of HMDB51: the official split files matched with the videos that are there.

    python datasets/hmdb51.py hmdb51_org --lists testTrainMulti_7030_splits --split 1

Makes data/hmdb51/hmdb51_split1.csv (path,label,split,id), whose val rows are the official test videos, and labels.txt.
Running it again brings both up to date.
"""

import argparse
from pathlib import Path

from video_rs import cli
from video_rs.data.sources import hmdb51
from video_rs.data.sources.prepare import class_count_note, prepare, train_command


def main() -> list[str]:
    """Parses the command line and writes; returns the lines of the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", help="folder of the videos, with or without class folders")
    parser.add_argument("--lists", required=True, help="the folder testTrainMulti_7030_splits")
    parser.add_argument("--split", type=int, choices=(1, 2, 3), default=1, help="default: %(default)s")
    parser.add_argument("--out", default="data/hmdb51", help="default: %(default)s")
    parser.add_argument("--missing", metavar="FILE", default="", help="write the ids that were not found, one a line")
    args = parser.parse_args()
    listed, names = hmdb51.read_lists(args.lists, args.split)
    path = Path(args.out) / f"hmdb51_split{args.split}.csv"
    lines = prepare(listed, names, args.videos, path, args.missing, loose=True)
    note = class_count_note(len(names), 51, "HMDB51")
    return [*lines, *note, *train_command("finetune/image_weights.yaml", path)]


if __name__ == "__main__":
    cli.run(lambda: print(*main(), sep="\n"))
