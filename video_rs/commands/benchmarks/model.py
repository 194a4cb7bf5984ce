"""Measure speed and memory of the forward passes of a network, and of its fast engines.

Prints a table and ratios to the peers. Every subject runs in a process of its own, all of them in turn. Leave the
machine to it alone.
"""

import argparse
from typing import Any

from video_rs.commands.benchmarks.arguments import (
    BENCHMARK_CODES,
    add_measuring,
    add_network,
    add_plot,
    check_json,
    check_output,
    clip_of,
)
from video_rs.commands.benchmarks.networks import measure_networks
from video_rs.runtime.errors import InputError
from video_rs.runtime.signals import end_on_signals

EXAMPLES = (
    "--peers --json model.json",
    "--network r3d_rs_small --frames 16 --engines openvino",
)
CODES = BENCHMARK_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_network(parser, batch=1)
    parser.add_argument(
        "--engines",
        metavar="NAMES",
        help="of accelerate, on a CPU, with commas between them, or none, each in all precisions that it has here "
        "(default: all that are installed)",
    )
    add_measuring(parser, peers="networks of pytorchvideo and torchvision")
    add_plot(parser)


def run(args: argparse.Namespace) -> None:
    """Measure forward passes."""
    end_on_signals()
    check_json(args.json)
    check_output("--plot", args.plot)
    clip = clip_of(args)
    measure_networks("model", args, clip, _engines(args.engines, clip))


def _engines(names: str | None, clip: dict[str, Any]) -> list[str]:
    """Return the engines of ``accelerate``, whose rows have precisions of their own, on a CPU."""
    from video_rs.benchmarks.network_benchmark import checked_engines

    if (clip["device"], clip["precision"]) == ("cpu", "float32"):
        if names is None:
            return checked_engines(None)
        if names == "none":
            return []
        return checked_engines([name for name in names.split(",") if name])
    if names is not None:
        raise InputError("--engines is for a CPU in float32; leave it out")
    return []
