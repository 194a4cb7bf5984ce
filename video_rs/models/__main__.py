"""``python -m video_rs.models [PATTERN] [--frames 32] [--size 224]``: the model table, in Markdown."""

import argparse

from video_rs.models.table import model_table


def main() -> None:
    """Prints the table of the models that match."""
    parser = argparse.ArgumentParser(prog="python -m video_rs.models", description=__doc__)
    parser.add_argument("pattern", nargs="?", default="*", help="shell-style, e.g. 'r3d_rs_*'")
    parser.add_argument("--classes", type=int, default=400)
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", type=int, default=224, help="pixels of a side")
    args = parser.parse_args()
    if min(args.classes, args.frames, args.size) < 1:
        parser.error("--classes, --frames and --size must be at least 1")
    print(model_table(args.pattern, args.classes, args.frames, args.size))


if __name__ == "__main__":
    main()
