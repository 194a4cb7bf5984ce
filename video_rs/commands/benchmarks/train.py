"""Measure speed and memory of the optimizer steps of a network, on random clips.

Prints a table and ratios to the peers. Every subject runs in a process of its own, all of them in turn. Leave the
machine to it alone.
"""

import argparse

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
from video_rs.runtime.signals import end_on_signals

EXAMPLES = (
    "--peers --json train.json --plot train.png",
    "--network r3d_rs_small --batch 8 --frames 16",
)
CODES = BENCHMARK_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_network(parser, batch=2)
    add_measuring(parser, peers="networks of pytorchvideo and torchvision")
    add_plot(parser)


def run(args: argparse.Namespace) -> None:
    """Measure optimizer steps."""
    end_on_signals()
    check_json(args.json)
    check_output("--plot", args.plot)
    measure_networks("train", args, clip_of(args), engines=[])
