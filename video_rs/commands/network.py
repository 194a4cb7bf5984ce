"""The trained network of a command that needs one, a checkpoint or a file of ``video-rs export``; where it runs."""

import argparse
from typing import TYPE_CHECKING

from video_rs.runtime.errors import InputError

if TYPE_CHECKING:
    from video_rs.inference import Predictor
    from video_rs.runs.acceleration import EngineChoice


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


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Add what computes the network."""
    parser.add_argument(
        "--engine",
        default="",
        choices=("auto", "eager", "compile", "onnxruntime", "openvino"),
        help="what computes the network of a checkpoint; auto takes the fastest that is installed, timed here "
        "(default: eager, PyTorch itself; with another --precision than float32: auto)",
    )
    parser.add_argument(
        "--precision",
        default="float32",
        choices=("auto", "float32", "bfloat16", "int8"),
        help="that it computes in; auto takes the fastest of those that hardly change the answers for real videos "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--calibration",
        default="",
        metavar="LIST",
        help="list, or folder, of videos that a precision is chosen by, and int8 calibrated on; its training rows, "
        "where it has splits (default: the DATA.TRAIN_LIST of the run)",
    )


def add_views(parser: argparse.ArgumentParser) -> None:
    """Add which views of a video answer for it."""
    parser.add_argument(
        "--views",
        default="",
        choices=("published", "full", "dense", "adaptive"),
        help="published: clips and crops, as tested; full: the clips as whole frames; dense: one pass over the whole "
        "video; adaptive: as many clips and crops as an answer needs (default: as the network was tested)",
    )


def engine_choice(args: argparse.Namespace) -> "EngineChoice":
    """Return what :func:`add_engine` has asked for."""
    from video_rs.runs.acceleration import EngineChoice

    engine = args.engine or ("eager" if args.precision == "float32" else "auto")
    return EngineChoice(engine, args.precision, args.calibration)


def load_network(args: argparse.Namespace, views: str = "") -> "Predictor":
    """Return the predictor of the network that was named, on ``args.device``, reading with ``args.decoder``.

    It computes as :func:`add_engine` has asked for, and answers by ``views``, "" for those of the network.
    """
    if args.model is not None:
        refuse_engine(args)
        from video_rs.inference.export import load_program

        return load_program(args.model, args.device, args.decoder, views=views)

    from video_rs.inference import Predictor
    from video_rs.runs.acceleration import accelerated_predictor

    predictor = Predictor.from_checkpoint(args.checkpoint, args.device, args.decoder, views)
    return accelerated_predictor(predictor, engine_choice(args), args.checkpoint)


def refuse_engine(args: argparse.Namespace) -> None:
    """Raise InputError where an engine is asked for to compute an exported file, which has its own."""
    if (args.engine, args.precision, args.calibration) != ("", "float32", ""):
        raise InputError(
            "--engine, --precision and --calibration are for a --checkpoint; a --model file has its own engine and "
            "precision (video-rs quantize writes one in int8)"
        )
