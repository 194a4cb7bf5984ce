"""Bring published weights into this project's format.

Sources are TensorFlow checkpoints of Model Garden's 3D ResNets (needs TensorFlow) and weights of timm's image networks
resnetrs*, which are inflated in time. MODEL.PRETRAINED OUT.pth, and video_rs.create_model(..., pretrained="OUT.pth"),
load the result.
"""

import argparse
from pathlib import Path

EXAMPLES = (
    "--source model_garden ckpt-73682 --arch r3d_rs_50 --output r3d_rs_50.pth",
    "--source timm timm --arch inflated_rs_50 --output inflated_rs_50.pth",
)
CODES = {0: "converted", 2: "the input was refused: one line says why"}
AVERAGE = {"auto": None, "yes": True, "no": False}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--source", required=True, choices=("model_garden", "timm"), help="whose weights CHECKPOINT holds"
    )
    parser.add_argument(
        "checkpoint",
        metavar="CHECKPOINT",
        help="of model_garden: the checkpoint without its .index ending; of timm: a file of weights, or the word timm, "
        "which downloads them",
    )
    parser.add_argument("--arch", required=True, metavar="NAME", help="the network; video-rs models lists them")
    parser.add_argument("--num-classes", type=int, help="of the last layer (default: as many as the checkpoint has)")
    parser.add_argument(
        "--average",
        default="auto",
        choices=tuple(AVERAGE),
        help="whether to take the moving averages of the weights; auto takes them where there are any "
        "(default: %(default)s)",
    )
    parser.add_argument("--output", required=True, metavar="OUT.pth", help="file to write")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY VALUE",
        help="fields of the network to set, se_ratio 0.2 or as in a config MODEL.SE_RATIO 0.2 (default: its own)",
    )


def run(args: argparse.Namespace) -> None:
    """Convert the weights."""
    from video_rs.runs.convert_weights import WeightSource, convert_weights

    source = WeightSource(
        kind=args.source,
        checkpoint=args.checkpoint,
        arch=args.arch,
        num_classes=args.num_classes,
        average=AVERAGE[args.average],
        overrides=args.overrides,
    )
    convert_weights(source, Path(args.output))
