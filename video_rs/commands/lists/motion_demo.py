"""Generate the motion demo: eight classes of H.264 clips that only their motion tells apart.

Writes train/LABEL/*.mp4, val/LABEL/*.mp4, motion_demo.csv (path,label,split) and labels.txt. Running it again completes
an interrupted folder and keeps what is there.
"""

import argparse

EXAMPLES = (
    "",
    "--out data/small_demo --train-clips 64 --val-clips 16",
)
CODES = {0: "all clips are there", 2: "the input was refused: one line says why"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--out",
        dest="folder",
        metavar="FOLDER",
        default="data/motion_demo",
        help="for what is written (default: %(default)s)",
    )
    parser.add_argument("--train-clips", type=int, help="clips to train on, over all classes (default: 480)")
    parser.add_argument("--val-clips", type=int, help="clips to validate on, over all classes (default: 160)")
    parser.add_argument("--seed", type=int, help="another one makes other clips (default: 0)")


def run(args: argparse.Namespace) -> None:
    """Make the clips."""
    from video_rs.curation.motion_demo.data_set import make_motion_demo
    from video_rs.runtime.wording import pluralize

    # What is not given is make_motion_demo's own.
    given = {name: value for name, value in vars(args).items() if value is not None}
    path = make_motion_demo(**given)
    clips = pluralize(len(path.read_text().splitlines()) - 1, "clip")
    print(f"motion demo: {clips}, listed in {path}")
