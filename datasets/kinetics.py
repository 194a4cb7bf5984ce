"""List Kinetics-400, -600 or -700: the official CSVs matched with the videos that are there.

    python datasets/kinetics.py VIDEOS --classes 400 --csv train.csv validate.csv

Makes data/kinetics400/kinetics400.csv (path,label,split,id) and labels.txt, and says how much of the official list was
found. Running it again brings both up to date.
"""

import argparse
from pathlib import Path

from video_rs import cli
from video_rs.data.sources import kinetics
from video_rs.data.sources.prepare import class_count_note, prepare, train_command


def main() -> list[str]:
    """Parses the command line and writes; returns the lines of the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", help="folder of the videos, with or without folders of splits and classes")
    parser.add_argument("--classes", type=int, choices=kinetics.VERSIONS, required=True, help="which Kinetics")
    parser.add_argument("--csv", nargs="+", required=True, help="the official CSVs of all splits to list")
    parser.add_argument("--out", help="default: data/kinetics400, 600 or 700")
    parser.add_argument("--untrimmed", action="store_true", help="files ID.mp4 are whole videos: list start and end")
    parser.add_argument("--missing", metavar="FILE", default="", help="write the ids that were not found, one a line")
    args = parser.parse_args()
    name = f"kinetics{args.classes}"
    segments = kinetics.read_segments(args.csv)
    names = kinetics.class_names(segments, args.classes)
    listed = kinetics.listed_segments(segments, names, args.classes, args.untrimmed)
    path = Path(args.out or f"data/{name}") / f"{name}.csv"
    lines = prepare(listed, names, args.videos, path, args.missing)
    note = class_count_note(len(names), args.classes, f"Kinetics-{args.classes}")
    return [*lines, *note, *train_command("kinetics_rs.yaml", path, f"MODEL.NUM_CLASSES {len(names)}")]


if __name__ == "__main__":
    cli.run(lambda: print(*main(), sep="\n"))
