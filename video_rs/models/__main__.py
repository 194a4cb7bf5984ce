"""``python -m video_rs.models [PATTERN] [--frames 32] [--size 224]``: the model table, in Markdown."""

import argparse


def main() -> None:
    """Print the table of the models that match."""
    parser = argparse.ArgumentParser(prog="python -m video_rs.models", description=__doc__)
    parser.add_argument("pattern", nargs="?", default="*", help="shell-style, e.g. 'r3d_rs_*'")
    parser.add_argument("--classes", type=int, default=400, help="of the last layer (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=32, help="of a clip (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="pixels of a side (default: %(default)s)")
    args = parser.parse_args()

    if min(args.classes, args.frames, args.size) < 1:
        parser.error("--classes, --frames and --size must be at least 1")

    from video_rs.models.table import model_table
    from video_rs.models.zoo import list_models
    from video_rs.runtime.errors import InputError

    if not list_models(args.pattern):
        raise InputError(
            f"no model's name matches {args.pattern!r}; allowed: names and shell-style patterns, such as 'r3d_rs_*'; "
            f"there are {', '.join(list_models())}"
        )
    print(model_table(args.pattern, args.classes, args.frames, args.size))


if __name__ == "__main__":
    # The command's import, and none of the networks, which other code may take alone.
    from video_rs.runtime import cli

    cli.run(main)
