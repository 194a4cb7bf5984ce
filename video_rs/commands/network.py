"""The trained network of a command that needs one: a checkpoint, or a file of ``video-rs export``."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from video_rs.inference import Predictor


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the trained network, of which there are two kinds."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--checkpoint", metavar="CKPT", help="a run's folder, or a .pth file of one (default: --model)")
    group.add_argument(
        "--model",
        metavar="FILE",
        help="a .onnx, .safetensors or OpenVINO .xml file that video-rs export has written, with the same answers "
        "(default: --checkpoint)",
    )


def load_network(args: argparse.Namespace) -> "Predictor":
    """Return the predictor of the network that was named, on ``args.device``, reading with ``args.decoder``."""
    if args.model is not None:
        from video_rs.inference.export import load_program

        return load_program(args.model, args.device, args.decoder)

    from video_rs.inference import Predictor

    return Predictor.from_checkpoint(args.checkpoint, args.device, args.decoder)
