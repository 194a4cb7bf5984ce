"""Measure how fast training clips are read: original and prepared files, every decoder, one worker and several.

Prints a table and ratios to the peers. Every subject runs in a process of its own, all of them in turn. Leave the
machine to it alone.
"""

import argparse
from pathlib import Path

from video_rs.commands.benchmarks.arguments import (
    BENCHMARK_CODES,
    add_measuring,
    add_videos,
    check_at_least_one,
    check_json,
    print_progress,
    publish,
)
from video_rs.runtime.signals import end_on_signals

EXAMPLES = (
    "--list list.csv --rounds 3 --json data.json",
    "--list my_videos --frames 32 --clips 2000 --doctor",
)
CODES = BENCHMARK_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_videos(parser)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 16, 32], help="of a clip (default: %(default)s)")
    add_measuring(parser, peers="pytorchvideo's data set")
    parser.add_argument(
        "--prepared",
        type=Path,
        default="data/benchmark",
        metavar="FOLDER",
        help="prepared files, made once (default: %(default)s)",
    )
    parser.add_argument(
        "--short-side", type=int, default=256, metavar="PIXELS", help="of the prepared files (default: %(default)s)"
    )
    parser.add_argument(
        "--clips",
        type=int,
        default=0,
        help="so many more clips through two workers, for their memory (default: %(default)s)",
    )
    parser.add_argument("--doctor", action="store_true", help="also files checked per second, by processes")
    parser.add_argument(
        "--recording-minutes",
        type=float,
        default=0,
        metavar="MINUTES",
        help="also random clips from a recording that long, in MPEG-TS and in MP4 (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Measure reading."""
    end_on_signals()
    check_json(args.json, args.list)
    check_at_least_one("--size", args.size)
    check_at_least_one("--rounds", args.rounds)
    for frames in args.frames:
        check_at_least_one("--frames", frames)
    from video_rs.benchmarks.data_benchmark import DATA_COLUMNS, measure_data
    from video_rs.benchmarks.data_files import data_files, size_lines
    from video_rs.benchmarks.data_ratios import data_ratios
    from video_rs.benchmarks.endurance import check_clips, endurance_lines, endure
    from video_rs.benchmarks.machine import describe_machine
    from video_rs.benchmarks.probing_rates import probing_lines, probing_rates
    from video_rs.benchmarks.recordings import container_lines, container_rates
    from video_rs.benchmarks.table import table

    if args.clips:
        check_clips("--clips", args.clips)
    files = data_files(args.list, args.prepared, args.short_side)
    rows = measure_data(files, args.frames, args.size, args.peers, args.rounds, print_progress)
    ratios = data_ratios(rows)
    machine = describe_machine("cpu")
    sizes = {some.kind: some.bytes() for some in files}
    result = {"machine": machine, "rows": [row.to_json() for row in rows], "ratios": ratios, "bytes": sizes}

    # What belongs to reading beside the speed of clips, each where it is asked for.
    originals, prepared, _ = files
    frames = args.frames[0]
    lines = size_lines(files)
    if args.clips:
        result["endurance"] = endure(prepared, args.clips, frames, args.size, print_progress)
        lines += endurance_lines(result["endurance"])
    if args.doctor:
        result["doctor"] = probing_rates(originals.videos, args.rounds, print_progress)
        lines += probing_lines(result["doctor"])
    if args.recording_minutes:
        minutes = args.recording_minutes
        result["containers"] = container_rates(minutes, frames, args.size, args.rounds, print_progress)
        lines += container_lines(result["containers"])

    publish(result, table(rows, DATA_COLUMNS, ratios, lines, machine), args.json)
