"""Measure whole training loops on real files, beside the bare step.

Prints a table and ratios. Every subject runs in a process of its own, all of them in turn. Leave the machine to it
alone.
"""

import argparse

from video_rs.commands.benchmarks.arguments import (
    BENCHMARK_CODES,
    add_measuring,
    add_network,
    add_videos,
    check_json,
    clip_of,
    print_progress,
    publish,
)
from video_rs.runtime.signals import end_on_signals

EXAMPLES = (
    "--list list.csv --peers --json loop.json",
    "--list my_videos --network r3d_rs_small --rounds 3",
)
CODES = BENCHMARK_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_videos(parser)
    add_network(parser, batch=2)
    add_measuring(parser, peers="a plain loop over pytorchvideo's data set and network")


def run(args: argparse.Namespace) -> None:
    """Measure loops."""
    end_on_signals()
    check_json(args.json, args.list)
    from video_rs.benchmarks import loop_benchmark
    from video_rs.benchmarks.data_files import paths_of
    from video_rs.benchmarks.machine import describe_machine
    from video_rs.benchmarks.table import table
    from video_rs.runtime.workers import usable_cores

    clip = clip_of(args)
    subjects = loop_benchmark.loop_subjects(args.network, paths_of(args.list), args.peers, usable_cores(), clip)
    rows = loop_benchmark.measure_loops(subjects, args.rounds, print_progress)
    ratios = loop_benchmark.loop_ratios(rows)
    machine = describe_machine(clip["device"])

    result = {"machine": machine, "rows": [row.to_json() for row in rows], "ratios": ratios}
    lines = loop_benchmark.loop_lines(rows)
    publish(result, table(rows, loop_benchmark.LOOP_COLUMNS, ratios, lines, machine), args.json)
