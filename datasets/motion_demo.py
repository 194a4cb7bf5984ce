"""Generate the motion demo: eight classes of H.264 clips that only their motion tells apart.

    python datasets/motion_demo.py --out data/motion_demo

Makes data/motion_demo/{train,val}/<label>/*.mp4, motion_demo.csv (path,label,split) and labels.txt. Running it again
completes an interrupted folder and keeps what is there.
"""

import argparse

from video_rs import cli


def main() -> None:
    """Parses the command line and makes the clips."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], argument_default=argparse.SUPPRESS)
    parser.add_argument("--out", dest="folder", metavar="OUT", default="data/motion_demo", help="default: %(default)s")
    parser.add_argument("--train-clips", type=int, help="clips to train on, over all classes")
    parser.add_argument("--val-clips", type=int, help="clips to validate on, over all classes")
    parser.add_argument("--seed", type=int, help="another seed makes other clips")
    args = parser.parse_args()

    from video_rs.data.motion import make_motion_demo

    path = make_motion_demo(**vars(args))
    print(f"motion demo: {len(path.read_text().splitlines()) - 1} clips, listed in {path}")


if __name__ == "__main__":
    cli.run(main)
