"""Show where and when a network sees a class in a video: Grad-CAM over space and time.

Writes a film of what the network saw beside the same under its heat (look.mp4), a strip of some frames with the heat
over time (look.png), and the numbers (look.npz).
"""

import argparse

from video_rs.commands.network import add_reading
from video_rs.commands.test import add_checkpoint

EXAMPLES = (
    "--checkpoint runs/mine video.mp4",
    "--checkpoint runs/mine video.mp4 --label dancing --stage res4 --out dancing",
)
CODES = {0: "looked", 2: "the video cannot be read, or the input was refused: one line says why"}
STAGES = ("stem", "res2", "res3", "res4", "res5")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    parser.add_argument("video", metavar="VIDEO", help="a video, a URL, or a folder of frames")
    parser.add_argument(
        "--label", default="", metavar="NAME", help="class to look for (default: the one that predict puts first)"
    )
    parser.add_argument(
        "--stage",
        default="",
        choices=STAGES,
        help="part of the network whose maps are taken; later ones know the classes better, earlier ones the places "
        "(default: the last one whose map has at least 4 x 4 cells)",
    )
    parser.add_argument(
        "--start", type=float, metavar="SECONDS", help="where in the video to begin (default: at its start)"
    )
    parser.add_argument("--end", type=float, metavar="SECONDS", help="where in the video to end (default: at its end)")
    parser.add_argument(
        "--out", default="look", metavar="FOLDER", help="folder for the three files (default: %(default)s)"
    )
    add_reading(parser)


def run(args: argparse.Namespace) -> None:
    """Look, and write the three files."""
    from pathlib import Path

    from video_rs.inference import Predictor
    from video_rs.inference.looking import look
    from video_rs.lists.chosen_videos import check_times
    from video_rs.runs.look import FILES, describe, write_look
    from video_rs.runtime.folders import make_writable
    from video_rs.runtime.outputs import keep_input, require_own

    check_times(args.start, args.end)
    folder = Path(args.out)
    keep_input("--out", folder / FILES[0], args.video)
    require_own("--out", folder, FILES, FILES[-1])
    predictor = Predictor.from_checkpoint(args.checkpoint, args.device, args.decoder)
    # Before the work that the folder is for.
    make_writable(folder, "--out")

    heat_map = look(predictor, args.video, args.label, args.stage, args.start, args.end)
    print(describe(heat_map))
    files = write_look(heat_map, folder)
    print(f"results: {'  '.join(map(str, files))}")
