"""Measure a GPU in minutes: training, forward passes, whole loops, testing and reading, the parts worth most first.

Prints a table with the model FLOP utilisation, the share of what the device computes at most. Every part runs in a
process of its own, one after the other. What was measured is written after each part; a part that fails, or for which
there is no time left, is named with the reason.
"""

import argparse
import math
from pathlib import Path
from typing import Any

from video_rs.commands.benchmarks.arguments import (
    BENCHMARK_CODES,
    add_measuring,
    add_precision,
    check_at_least_one,
    check_json,
    device_and_precision,
    print_progress,
)
from video_rs.runtime.errors import InputError
from video_rs.runtime.outputs import check_outputs
from video_rs.runtime.signals import end_on_signals
from video_rs.runtime.unfinished import temporary_folder

EXAMPLES = (
    "--peers --json gpu.json",
    "--device cpu --network r3d_rs_tiny --frames 4 2 --size 32 --batch 2 --minutes 2",
)
CODES = BENCHMARK_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--device",
        default="cuda",
        choices=("cuda", "cpu"),
        help="cpu shows on a machine without a GPU that all parts run (default: %(default)s)",
    )
    add_precision(parser)
    parser.add_argument(
        "--network", default="r3d_rs_50", metavar="NAME", help="video-rs models lists them (default: %(default)s)"
    )
    parser.add_argument(
        "--frames", type=int, nargs="+", default=[32, 8], help="of clips, in this order (default: %(default)s)"
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=16,
        metavar="CLIPS",
        help="of the longest clips, of shorter ones so many more; half as many where memory runs out (default: "
        "%(default)s)",
    )
    parser.add_argument("--list", default="", help="videos to read, a list or folder (default: one made for it)")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together (default: %(default)s)")
    add_measuring(parser, peers="pytorchvideo and networks of torchvision")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="PAGE",
        help="page that has a place for the table, which is written into it (default: none)",
    )


def run(args: argparse.Namespace) -> None:
    """Measure the parts."""
    end_on_signals()
    _check(args)
    device, precision = device_and_precision(args)
    from video_rs.benchmarks.gpu_benchmark import Time

    # The time runs from here on: what was refused has taken none of it.
    time = Time(60 * args.minutes)
    with temporary_folder() as folder:
        _measure(args, device, precision, _videos(args.list, folder), time)


def _check(args: argparse.Namespace) -> None:
    """Refuse what nothing can be measured with, or written to."""
    check_json(args.json, args.list)
    check_outputs({"--json": args.json or "", "--markdown": args.markdown or ""})
    for name in ("batch", "size", "rounds"):
        check_at_least_one(f"--{name}", getattr(args, name))
    for frames in args.frames:
        check_at_least_one("--frames", frames)
    if not 0 < args.minutes < math.inf:
        raise InputError(f"--minutes is {args.minutes:g}; allowed: above 0")

    from video_rs.benchmarks.gpu_page import require_place
    from video_rs.models import architecture

    architecture(args.network)
    if args.markdown is not None:
        require_place(args.markdown)


def _videos(source: str, folder: Path) -> tuple[str, ...]:
    """Return the paths of a list's videos, or of one that is written into ``folder``."""
    from video_rs.benchmarks.data_files import paths_of
    from video_rs.benchmarks.recordings import write_moving_noise

    if source:
        return tuple(paths_of(source))
    video = folder / "noise.mp4"
    write_moving_noise(video, seconds=10)
    return (str(video),)


def _measure(args: argparse.Namespace, device: str, precision: str, videos: tuple[str, ...], time: Any) -> None:
    """Measure, write what is known after each part, and print the table at the end."""
    from video_rs.benchmarks import gpu_benchmark
    from video_rs.benchmarks.gpu_page import write_page
    from video_rs.benchmarks.gpu_parts import Setting
    from video_rs.benchmarks.machine import describe_machine
    from video_rs.benchmarks.table import table
    from video_rs.runtime.atomic import write_json
    from video_rs.runtime.workers import usable_cores

    setting = Setting(
        args.network,
        videos,
        usable_cores(),
        args.peers,
        args.batch,
        tuple(args.frames),
        args.size,
        device,
        precision,
    )
    machine = describe_machine(device)

    def save(results: gpu_benchmark.Results) -> None:
        if args.json is not None:
            write_json(args.json, {"machine": machine, **results.to_json()})
        if args.markdown is not None:
            write_page(args.markdown, results, machine)

    benchmark = gpu_benchmark.GpuBenchmark(machine["gpu"], args.rounds, time, print_progress, save)
    results = benchmark.run(setting)
    ratios = gpu_benchmark.gpu_ratios(results.rows)
    lines = gpu_benchmark.gpu_lines(results)
    print(table(results.rows, gpu_benchmark.GPU_COLUMNS, ratios, lines, machine))
