"""Measure testing by many views, from files to probabilities, the first answer of a process, and timelines.

Prints a table and ratios: ours against a loop that decodes for each view, and against pytorchvideo. Every subject runs
in a process of its own, all of them in turn. With --timelines, timelines of long videos are measured, too: how much
faster than they play, and the memory. Leave the machine to it alone.
"""

import argparse
import math
from pathlib import Path
from typing import Any

from video_rs.commands.benchmarks.arguments import (
    BENCHMARK_CODES,
    add_device,
    add_measuring,
    add_videos,
    check_at_least_one,
    check_json,
    checked_device,
    print_progress,
    publish,
)
from video_rs.runtime.errors import InputError
from video_rs.runtime.signals import end_on_signals
from video_rs.runtime.unfinished import temporary_folder

EXAMPLES = (
    "--list list.csv --peers --json eval.json",
    "--list my_videos --networks r3d_rs_tiny --size 64 --timelines 1 60 180",
)
CODES = BENCHMARK_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_videos(parser)
    parser.add_argument(
        "--networks",
        nargs="+",
        default=["r3d_rs_50", "r3d_rs_small"],
        metavar="NAME",
        help="ours; video-rs models lists them; the first also predicts (default: %(default)s)",
    )
    parser.add_argument("--clips", type=int, default=10, help="of a video (default: %(default)s)")
    parser.add_argument("--crops", type=int, default=3, choices=(1, 3), help="of a clip (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=8, help="of a clip (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=8, metavar="VIEWS", help="at a time (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=-1, help="reading processes; -1 one on each core, 0 none (default: %(default)s)"
    )
    add_device(parser)
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="C",
        help="whose first answer and timelines are measured (default: the first answer of the first network, timelines "
        "of the last one, with fresh weights)",
    )
    parser.add_argument(
        "--timelines",
        nargs="+",
        type=float,
        metavar="MINUTES",
        help="also timelines of videos of these lengths, which are made for it (default: none)",
    )
    add_measuring(parser, peers="pytorchvideo's pipeline and network")


def run(args: argparse.Namespace) -> None:
    """Measure testing."""
    end_on_signals()
    check_json(args.json, args.list)
    from video_rs.benchmarks import cold_prediction, eval_benchmark
    from video_rs.benchmarks.machine import describe_machine
    from video_rs.benchmarks.table import table
    from video_rs.benchmarks.timelines import timeline_lines
    from video_rs.engine.checkpoint import load_checkpoint

    testing = _testing(args)
    if args.checkpoint is not None:
        load_checkpoint(args.checkpoint)
    subjects = eval_benchmark.eval_subjects(args.networks, args.peers, testing)
    rows = eval_benchmark.measure_eval(subjects, args.rounds, print_progress)
    ratios = eval_benchmark.eval_ratios(rows)
    machine = describe_machine(testing["device"])
    result = {"machine": machine, "rows": [row.to_json() for row in rows], "ratios": ratios}
    lines = eval_benchmark.eval_lines(rows)

    # What belongs to testing beside its speed, one after the other, each a part of the result and some lines.
    cold = _cold(args, testing)
    result["cold"] = cold.to_json()
    lines += cold_prediction.cold_lines(cold)
    if args.timelines:
        timelines = _timelines(args)
        result["timelines"] = [row.to_dict() for row in timelines]
        lines += timeline_lines(timelines)

    publish(result, table(rows, eval_benchmark.EVAL_COLUMNS, ratios, lines, machine), args.json)


def _testing(args: argparse.Namespace) -> dict[str, Any]:
    """Return what all subjects have in common.

    Raises:
        InputError: an option that nothing can be measured with, an unknown network, or a list without videos.
    """
    for name in ("clips", "frames", "batch", "size", "rounds"):
        check_at_least_one(f"--{name}", getattr(args, name))
    if args.workers < -1:
        raise InputError(f"--workers is {args.workers}; allowed: -1 or more")
    for minutes in args.timelines or ():
        if not 0 < minutes < math.inf:
            raise InputError(f"--timelines has {minutes:g}; allowed: above 0")
    from video_rs.benchmarks.data_files import paths_of
    from video_rs.models import architecture
    from video_rs.runtime.workers import usable_cores

    for network in args.networks:
        architecture(network)
    return {
        "batch": args.batch,
        "frames": args.frames,
        "size": args.size,
        "clips_per_video": args.clips,
        "crops": args.crops,
        "device": checked_device(args.device),
        "videos": tuple(paths_of(args.list)),
        "workers": usable_cores() if args.workers < 0 else args.workers,
    }


def _cold(args: argparse.Namespace, testing: dict[str, Any]) -> Any:
    """Return what was measured of the first answer of a process."""
    from video_rs.benchmarks import cold_prediction
    from video_rs.benchmarks.published import published_views

    video = testing["videos"][0]
    measured = (video, testing["device"], args.rounds, print_progress)
    if args.checkpoint is not None:
        return cold_prediction.measure_cold(args.checkpoint, *measured)

    views = published_views(args.frames, args.size, args.clips, args.crops)
    with temporary_folder() as folder:
        path = folder / f"{args.networks[0]}.pth"
        cold_prediction.write_fresh_checkpoint(path, args.networks[0], views)
        return cold_prediction.measure_cold(path, *measured)


def _timelines(args: argparse.Namespace) -> list[Any]:
    """Return what was measured of timelines of long videos, which are removed again."""
    from video_rs.benchmarks.timelines import measure_timelines

    network = {"network": args.networks[-1], "frames": args.frames, "size": args.size}
    if args.checkpoint is not None:
        network = {"checkpoint": str(args.checkpoint)}

    with temporary_folder() as folder:
        seconds = [60 * minutes for minutes in args.timelines]
        return measure_timelines(seconds, folder, print_progress, **network)
