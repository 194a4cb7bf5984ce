"""Measure networks: forward passes or optimizer steps, in processes of their own."""

import argparse
from collections.abc import Sequence
from typing import Any

from video_rs.commands.benchmarks.arguments import print_progress, publish


def measure_networks(kind: str, args: argparse.Namespace, clip: dict[str, Any], engines: Sequence[str]) -> None:
    """Measure, print the table, and write JSON and plot.

    Args:
        kind: ``model`` or ``train``.
        args: of the command.
        clip: what all subjects have in common.
        engines: of ``accelerate``, each a row of its own.
    """
    from video_rs.benchmarks import network_benchmark
    from video_rs.benchmarks.machine import creation_seconds, describe_machine
    from video_rs.benchmarks.subject import FORWARD, TRAIN
    from video_rs.benchmarks.table import table
    from video_rs.reports.plots import png
    from video_rs.reports.speed_plot import speed_plot
    from video_rs.runtime.atomic import replace_bytes

    pass_kind = {"model": FORWARD, "train": TRAIN}[kind]
    subjects = network_benchmark.network_subjects(pass_kind, args.network, args.peers, engines, clip)
    rows = network_benchmark.measure_networks(subjects, args.rounds, print_progress)
    ratios = network_benchmark.network_ratios(rows)
    machine = describe_machine(clip["device"])
    result = {"machine": machine, "rows": [row.to_json() for row in rows], "ratios": ratios}

    lines = []
    if kind == "model":
        seconds = creation_seconds(args.network, args.rounds)
        result["create_seconds"] = seconds
        lines.append(f"{seconds:6.3f}  seconds to import video_rs and create the network")

    if args.plot:
        figure = speed_plot(result["rows"], network_benchmark.best_layer(rows))
        replace_bytes(args.plot, png(figure, crop=True))
    columns = network_benchmark.network_columns(rows)
    publish(result, table(rows, columns, ratios, lines, machine), args.json)
