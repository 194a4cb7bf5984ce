"""Draw accuracy against the cost of a whole video, and name the networks that no other one beats in both.

Measures the speed of published networks on this machine: ours, and those of pytorchvideo and torchvision, each at the
clip of its published evaluation, in a process of its own. Their accuracy on Kinetics-400 is the published one; networks
of which there are only numbers are drawn, too. With --runs, the same for your own trained runs, whose accuracy is that
of their tests. Writes table.csv, frontier.png, frontier.svg and report.html. The same command goes on after a stop.
Leave the machine to it alone.
"""

import argparse
from pathlib import Path

from video_rs.commands.benchmarks.arguments import (
    BENCHMARK_CODES,
    add_device,
    add_precision,
    check_at_least_one,
    check_output,
    device_and_precision,
    print_progress,
)
from video_rs.runtime import start
from video_rs.runtime.errors import InputError
from video_rs.runtime.outputs import require_own
from video_rs.runtime.signals import end_on_signals

EXAMPLES = (
    "--out studies/frontier --networks r3d_rs_50 slow_r50 x3d_m mvit_v2_s",
    "--out studies/mine --runs runs/a runs/b --list list.csv",
)
FILES = ("table.csv", "frontier.png", "frontier.svg", "report.html")
CODES = {**BENCHMARK_CODES, 0: "measured and drawn; networks that could not be measured are named on the page"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="of the table, the plot and the page")
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="to measure (default: all that can be measured)")
    parser.add_argument(
        "--runs", nargs="+", metavar="RUN", help="own trained runs instead (default: published networks)"
    )
    parser.add_argument("--list", default="", help="list file to test all --runs on now (default: the tests they have)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="so many times all processes in turn (default: %(default)s)"
    )
    parser.add_argument(
        "--batch", type=int, default=0, metavar="VIEWS", help="at once, for the rate (default: 2 on a CPU, 16 on a GPU)"
    )
    parser.add_argument(
        "--at-once",
        type=int,
        default=4,
        metavar="PROCESSES",
        help="in memory at the same time; two a network, some GB each (default: %(default)s)",
    )
    add_device(parser)
    add_precision(parser)
    parser.add_argument(
        "--engine",
        default="auto",
        help="of accelerate, for our networks: eager, compile, onnxruntime, openvino, or auto, the fastest that is "
        "installed (default: %(default)s)",
    )
    parser.add_argument(
        "--same-engine", action="store_true", help="other libraries' networks by that engine, too, not as shipped"
    )


def run(args: argparse.Namespace) -> None:
    """Measure and draw."""
    end_on_signals()
    start.let_idle_threads_sleep()
    if args.runs and args.networks:
        raise InputError("give --networks or --runs: published networks and own runs have no accuracy in common")
    if args.list and not args.runs:
        raise InputError("--list is what --runs are tested on; give --runs, or leave it out")
    check_at_least_one("--rounds", args.rounds)
    check_at_least_one("--at-once", args.at_once)
    if args.batch < 0:
        check_at_least_one("--batch", args.batch)
    check_output("--out", args.out / "table.csv")
    require_own("--out", args.out, FILES, "measured.json")

    from video_rs.runtime.progress import print_line
    from video_rs.studies.frontier.measuring import Setting
    from video_rs.studies.frontier.study import BATCHES, compare_networks, compare_runs

    device, precision = device_and_precision(args)
    batch = args.batch or BATCHES[device]
    setting = Setting(device, precision, args.engine, args.same_engine, batch, args.rounds, args.at_once)
    if args.runs:
        lines = compare_runs(args.out, args.runs, args.list, setting, print_progress)
    else:
        lines = compare_networks(args.out, args.networks or (), setting, print_progress)
    for line in lines:
        print_line(line)
