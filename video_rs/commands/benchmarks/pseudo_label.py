"""Measure how many short files a second are pseudo-labelled, beside a plain loop over Predictor.predict.

Prints a table and ratios. Every way is a whole command, all of them in turn. Leave the machine to it alone.
"""

import argparse
from pathlib import Path

from video_rs.commands.benchmarks.arguments import (
    BENCHMARK_CODES,
    add_videos,
    check_at_least_one,
    check_json,
    print_progress,
    publish,
)
from video_rs.runtime.signals import end_on_signals
from video_rs.runtime.unfinished import temporary_folder

EXAMPLES = (
    "--teacher runs/mine --list list.csv --json pseudo_label.json",
    "--teacher runs/mine --list list.csv --files 5000 --rounds 3 --ray",
)
CODES = BENCHMARK_CODES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--teacher", required=True, metavar="T", help="as pseudo_label takes it")
    add_videos(parser)
    parser.add_argument(
        "--files",
        type=int,
        default=1000,
        help="how many; the list's are taken again under other names (default: %(default)s)",
    )
    parser.add_argument("--ray", action="store_true", help="also Ray on this machine, with two actors")
    parser.add_argument("--rounds", type=int, default=3, help="so many times all ways in turn (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for machine, rows and ratios (default: none)")


def run(args: argparse.Namespace) -> None:
    """Measure labelling."""
    end_on_signals()
    check_json(args.json, args.list)
    for name in ("files", "rounds"):
        check_at_least_one(f"--{name}", getattr(args, name))
    from video_rs.benchmarks import labelling
    from video_rs.benchmarks.data_files import paths_of
    from video_rs.benchmarks.machine import describe_machine
    from video_rs.runtime.ray_cluster import import_ray

    ways = [labelling.PLAIN, labelling.ONE, labelling.TORCHRUN]
    if args.ray:
        import_ray()
        ways.append(labelling.RAY)

    with temporary_folder() as folder:
        files = labelling.make_files(args.teacher, paths_of(args.list), args.files, folder)
        rows = labelling.measure_labelling(files, ways, args.rounds, print_progress)
    machine = describe_machine("cpu")
    ratios = labelling.labelling_ratios(rows)
    result = {"machine": machine, "rows": [row.to_json() for row in rows], "ratios": ratios}
    publish(result, labelling.labelling_text(rows, files, machine), args.json)
