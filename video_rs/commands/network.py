"""The trained network of a command that needs one, a checkpoint or a file of ``video-rs export``; where it runs."""

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


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add where the network runs."""
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda", "mps"),
        help="where the network runs; auto takes CUDA, then Apple's MPS, then the CPU (default: %(default)s)",
    )


def add_reading(parser: argparse.ArgumentParser) -> None:
    """Add where the network runs, and what decodes the videos."""
    add_device(parser)
    parser.add_argument(
        "--decoder",
        default="auto",
        help="pyav, decord, torchcodec, torchcodec_cuda, or auto, which is pyav (default: %(default)s)",
    )


def load_network(args: argparse.Namespace) -> "Predictor":
    """Return the predictor of the network that was named, on ``args.device``, reading with ``args.decoder``."""
    if args.model is not None:
        from video_rs.inference.export import load_program

        return load_program(args.model, args.device, args.decoder)

    from video_rs.inference import Predictor

    return Predictor.from_checkpoint(args.checkpoint, args.device, args.decoder)
