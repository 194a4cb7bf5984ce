"""What the commands that measure have in common: arguments, checks before the work, and where results go."""

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from video_rs.runtime.errors import InputError
from video_rs.runtime.outputs import check_outputs
from video_rs.runtime.signals import TERMINATED

BENCHMARK_CODES = {
    0: "measured",
    2: "the input was refused: one line says why",
    TERMINATED: "stopped by SIGTERM or SIGHUP",
}


def add_measuring(parser: argparse.ArgumentParser, peers: str) -> None:
    """Add what every measurement takes.

    Args:
        parser: of the command.
        peers: what is measured beside ours with ``--peers``.
    """
    parser.add_argument("--peers", action="store_true", help=f"also {peers}")
    parser.add_argument("--size", type=int, default=224, metavar="PIXELS", help="of a side (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="so many times all subjects in turn (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for machine, rows and ratios (default: none)")


def add_network(parser: argparse.ArgumentParser, batch: int) -> None:
    """Add the network, and the clips and the device that it is measured on.

    Args:
        parser: of the command.
        batch: clips of a call unless they are given.
    """
    parser.add_argument(
        "--network", default="r3d_rs_50", metavar="NAME", help="video-rs models lists them (default: %(default)s)"
    )
    parser.add_argument(
        "--batch", type=int, default=batch, metavar="CLIPS", help="of a call or a step (default: %(default)s)"
    )
    parser.add_argument("--frames", type=int, default=8, help="of a clip (default: %(default)s)")
    add_device(parser)
    add_precision(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the device that networks are measured on."""
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        help="auto takes CUDA, then the CPU (default: %(default)s)",
    )


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add the precision that networks are measured in."""
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "float32", "bfloat16"),
        help="auto: bfloat16 on a GPU, float32 on a CPU (default: %(default)s)",
    )


def add_plot(parser: argparse.ArgumentParser) -> None:
    """Add the picture."""
    parser.add_argument(
        "--plot", type=Path, metavar="PNG", help="picture of clips per second over GFLOP per clip (default: none)"
    )


def add_videos(parser: argparse.ArgumentParser) -> None:
    """Add the list of what is read."""
    parser.add_argument(
        "--list",
        required=True,
        help="a list file, or a folder of class folders, of a file each, no shards",
    )


def clip_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return what all subjects have in common: the clips of a call, the device and the precision."""
    for name in ("batch", "frames", "size", "rounds"):
        check_at_least_one(f"--{name}", getattr(args, name))
    device, precision = device_and_precision(args)
    return {"batch": args.batch, "frames": args.frames, "size": args.size, "device": device, "precision": precision}


def device_and_precision(args: argparse.Namespace) -> tuple[str, str]:
    """Return the device and the precision that are asked for, with what "auto" stands for here.

    Raises:
        InputError: there is no such device.
    """
    device = checked_device(args.device)
    precision = args.precision
    if precision == "auto":
        precision = "bfloat16" if device == "cuda" else "float32"
    return device, precision


def checked_device(asked: str) -> str:
    """Return the device that is asked for, with what "auto" stands for here.

    Raises:
        InputError: there is no such device.
    """
    import torch

    cuda = torch.cuda.is_available()
    if asked == "cuda" and not cuda:
        raise InputError(
            f"--device is cuda, and PyTorch {torch.__version__} finds no such GPU here, only the CPU; take --device cpu"
        )
    return "cuda" if cuda and asked != "cpu" else "cpu"


def check_at_least_one(option: str, value: int) -> None:
    """Refuse a number of which nothing could be measured."""
    if value < 1:
        raise InputError(f"{option} is {value}; allowed: 1 or more")


def check_json(path: Path | None, source: str = "") -> None:
    """Refuse a file for results that cannot be written, or would take the place of something else.

    Args:
        path: of ``--json``, or None.
        source: what the command reads, which stays; "": nothing.
    """
    check_output("--json", path)
    check_outputs({"--json": path or ""}, [source] if source else [])


def check_output(option: str, path: Path | None) -> None:
    """Make the folder of an output file, and refuse a path that cannot be written before minutes are spent."""
    if path is None:
        return

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise InputError(f"{option} {path}: its folder cannot be written ({error.strerror}); take another") from error
    if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
        raise InputError(f"{option} {path}: what is there cannot be written over; take another name")


def publish(result: Mapping[str, Any], table: str, path: Path | None) -> None:
    """Print the table, and write the result as JSON where a file is asked for."""
    from video_rs.runtime.atomic import write_json

    print(table)
    if path is not None:
        write_json(path, result)


def print_progress(line: str) -> None:
    """Print a line beside the results."""
    print(line, file=sys.stderr, flush=True)
