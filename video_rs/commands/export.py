"""Write a trained network for another runtime: ONNX, torch.export, safetensors, OpenVINO.

The file takes uint8 clips of any batch, length and size and gives probabilities; normalisation, softmax and temperature
are inside, class names and preprocessing beside them. It is kept only where it gives the network's own probabilities.
"""

import argparse

from video_rs.commands.test import add_checkpoint

EXAMPLES = (
    "--checkpoint runs/mine --out model.onnx",
    "--checkpoint runs/mine --format torch --out model.pt2",
)
CODES = {
    0: "written",
    1: "the file gave other probabilities than the network, and was not kept; or anything else, with a traceback",
    2: "the input was refused: one line says why",
}
FORMAT_NAMES = ("onnx", "torch", "safetensors", "openvino", "hub")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_checkpoint(parser)
    parser.add_argument(
        "--format",
        choices=FORMAT_NAMES,
        help="of the file: onnx (.onnx), torch (.pt2), safetensors (.safetensors, weights alone), openvino (.xml and "
        ".bin), hub (a folder for the Hugging Face hub: weights, config.json and a model card) "
        "(default: that of the ending of --out)",
    )
    parser.add_argument(
        "--out", required=True, metavar="PATH", help="file to write, of hub a folder; files there are replaced"
    )


def run(args: argparse.Namespace) -> None:
    """Export the network."""
    from video_rs.runs.export import run_export

    run_export(args.checkpoint, args.out, args.format or "")
