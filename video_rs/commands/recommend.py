"""Say which network, frames and size to train for a budget of multiply-adds, and why, in three lines.

The rules are the published ones (Bello et al. 2021, arXiv 2103.07579; Du et al. 2021, arXiv 2109.01696); what goes
beyond them is marked as our own extension.
"""

import argparse
import json

EXAMPLES = ("--gmac 100 --epochs 350 --videos 240000", "--gmac 10 --epochs 30 --videos 2000 --json")
CODES = {0: "printed", 2: "the input was refused, such as a budget below the smallest network: one line says why"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--gmac", type=float, required=True, help="budget of one clip's forward pass, in 10^9 multiply-adds"
    )
    parser.add_argument("--epochs", type=float, required=True, help="of the training")
    parser.add_argument("--videos", type=int, required=True, help="that are trained on")
    parser.add_argument("--json", action="store_true", help="print an object in the place of lines")


def run(args: argparse.Namespace) -> None:
    """Print the recommendation."""
    from video_rs.studies import recommend

    found = recommend(args.gmac, args.epochs, args.videos)
    if args.json:
        print(json.dumps(found._asdict(), indent=2))
        return

    clip = f"{found.frames} frames of {found.size} x {found.size} pixels"
    print(f"{found.model}, width {found.width:g}, {clip}: {found.gmac:.4g} GMAC")
    for reason in found.reasons:
        print(f"- {reason}")
    keys = {
        "MODEL.ARCH": found.model,
        "MODEL.WIDTH": f"{found.width:g}",
        "DATA.NUM_FRAMES": found.frames,
        "DATA.TRAIN_CROP_SIZE": found.size,
    }
    print("keys: " + " ".join(f"{key} {value}" for key, value in keys.items()))
