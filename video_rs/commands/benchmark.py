"""Measure speed and memory of networks (model), optimizer steps (train), training loops and reading clips (data).

Prints a table and ratios to the peers. Every subject runs in a process of its own, all of them in turn. Leave the
machine to it alone.
"""

import argparse
import os
import signal
import sys
import tempfile
from pathlib import Path

from video_rs.runtime import cli

EXAMPLES = (
    "model --peers --json model.json",
    "data --list list.csv --rounds 3 --json data.json",
)
CODES = {0: "measured", 2: "the input was refused: one line says why", 143: "stopped by SIGTERM or SIGHUP"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "what",
        choices=("model", "train", "loop", "data"),
        help="forward passes, steps, whole training loops, or reading",
    )
    parser.add_argument("--peers", action="store_true", help="also networks of pytorchvideo and torchvision")
    parser.add_argument(
        "--network",
        default="r3d_rs_50",
        metavar="NAME",
        help="for all but data; video-rs models lists them (default: %(default)s)",
    )
    parser.add_argument("--batch", type=int, metavar="CLIPS", help="of a call (default: 1 forward, 2 in training)")
    parser.add_argument("--frames", type=int, nargs="+", help="of a clip (default: 8, and for data 8 16 32)")
    parser.add_argument("--size", type=int, default=224, metavar="PIXELS", help="of a side (default: %(default)s)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="so many times all subjects in turn (default: %(default)s)"
    )
    parser.add_argument(
        "--engines",
        metavar="NAMES",
        help="of accelerate, for model on a CPU, with commas between them (default: all that are installed)",
    )
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda"),
        help="auto takes CUDA, then the CPU (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        default="auto",
        choices=("auto", "float32", "bfloat16"),
        help="auto: bfloat16 on a GPU, float32 on a CPU (default: %(default)s)",
    )
    parser.add_argument(
        "--list",
        default="",
        help="for data and loop: the videos to read, a file each, no shards (default: none)",
    )
    parser.add_argument(
        "--prepared",
        type=Path,
        default="data/benchmark",
        metavar="FOLDER",
        help="for data: prepared files, made once (default: %(default)s)",
    )
    parser.add_argument(
        "--short-side",
        type=int,
        default=256,
        metavar="PIXELS",
        help="for data: of the prepared files (default: %(default)s)",
    )
    parser.add_argument(
        "--clips",
        type=int,
        default=0,
        help="for data: so many more through two workers, for their memory (default: %(default)s)",
    )
    parser.add_argument("--doctor", action="store_true", help="for data: also files checked per second, by processes")
    parser.add_argument(
        "--recording-minutes",
        type=float,
        default=0,
        metavar="MINUTES",
        help="for data: also random clips from a recording that long, in MPEG-TS and in MP4 (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="file for machine, rows and ratios (default: none)")
    parser.add_argument(
        "--plot", type=Path, metavar="PNG", help="picture of clips per second over GFLOP per clip (default: none)"
    )


def run(args: argparse.Namespace) -> None:
    """Measure, print a table and the ratios, and write JSON and a plot."""
    set_sizes(args)
    from video_rs.runtime.signals import STOPPING

    # Processes are ended on the way out, so signals have to take it.
    for kind in set(STOPPING) - {signal.SIGINT}:
        signal.signal(kind, lambda *_: sys.exit(cli.TERMINATED))
    for option, path in (("--json", args.json), ("--plot", args.plot)):
        check_output(option, path)

    result, text = KINDS[args.what](args)
    print(text)
    if args.json:
        from video_rs.runtime.atomic import write_json

        write_json(args.json, result)


def networks(args: argparse.Namespace) -> tuple[dict, str]:
    """Return the JSON and the table of forward passes, or of optimizer steps; the plot is written here."""
    from video_rs.benchmarks import network_benchmark
    from video_rs.benchmarks.machine import creation_seconds, describe_machine
    from video_rs.benchmarks.subject import FORWARD, TRAIN
    from video_rs.benchmarks.table import table
    from video_rs.reports.plots import png
    from video_rs.reports.speed_plot import speed_plot

    refuse(args.list, "--list is for data and loop; leave it out")
    clip = clip_of(args)
    kind = {"model": FORWARD, "train": TRAIN}[args.what]
    subjects = network_benchmark.network_subjects(kind, args.network, args.peers, engines_of(args, clip), clip)
    rows = network_benchmark.measure_networks(subjects, args.rounds, report)
    ratios = network_benchmark.network_ratios(rows)
    result = {
        "machine": describe_machine(clip["device"]),
        "rows": [row.to_json() for row in rows],
        "ratios": ratios,
    }

    lines = []
    if args.what == "model":
        result["create_seconds"] = creation_seconds(args.network, args.rounds)
        lines.append(f"{result['create_seconds']:6.3f}  seconds to import video_rs and create the network")
    if args.plot:
        args.plot.write_bytes(png(speed_plot(result["rows"], network_benchmark.best_layer(rows))))
    return result, table(rows, network_benchmark.network_columns(rows), ratios, lines, result["machine"])


def data(args: argparse.Namespace) -> tuple[dict, str]:
    """Return the JSON and the table of reading training clips."""
    from video_rs.benchmarks import data_benchmark
    from video_rs.benchmarks.machine import describe_machine
    from video_rs.benchmarks.table import table

    require_list(args)
    refuse(args.plot, "--plot is for model and train; leave it out")
    files = data_benchmark.data_files(args.list, args.prepared, args.short_side)
    rows = data_benchmark.measure_data(files, args.frames, args.size, args.peers, args.rounds, report)
    ratios = data_benchmark.data_ratios(rows)
    result = {"machine": describe_machine("cpu"), "rows": [row.to_json() for row in rows], "ratios": ratios}

    originals, prepared = files
    if args.clips:
        from video_rs.benchmarks.endurance import endure

        result["endurance"] = endure(prepared.videos, prepared.cache, args.clips, args.frames[0], args.size, report)
    if args.doctor:
        from video_rs.benchmarks.probing_rates import probing_rates

        result["doctor"] = probing_rates(originals.videos, args.rounds, report)
    if args.recording_minutes:
        from video_rs.benchmarks.recordings import container_rates

        result["containers"] = container_rates(args.recording_minutes, args.frames[0], args.size, args.rounds, report)
    lines = data_benchmark.data_lines(result)
    return result, table(rows, data_benchmark.DATA_COLUMNS, ratios, lines, result["machine"])


def loops(args: argparse.Namespace) -> tuple[dict, str]:
    """Return the JSON and the table of whole training loops on files."""
    from video_rs.benchmarks import loop_benchmark
    from video_rs.benchmarks.machine import describe_machine
    from video_rs.benchmarks.table import table
    from video_rs.lists.records import read_records
    from video_rs.runtime.workers import usable_cores

    require_list(args)
    refuse(args.plot, "--plot is for model and train; leave it out")
    clip = clip_of(args)
    videos = [record.path for record in read_records(args.list, require_labels=False).records]
    subjects = loop_benchmark.loop_subjects(args.network, videos, args.peers, usable_cores(), clip)
    rows = loop_benchmark.measure_loops(subjects, args.rounds, report)
    ratios = loop_benchmark.loop_ratios(rows)
    machine = describe_machine(clip["device"])
    result = {"machine": machine, "rows": [row.to_json() for row in rows], "ratios": ratios}
    return result, table(rows, loop_benchmark.LOOP_COLUMNS, ratios, loop_benchmark.loop_lines(rows), machine)


KINDS = {"model": networks, "train": networks, "loop": loops, "data": data}


def refuse(given: object, message: str) -> None:
    """Raise InputError where an option is given that does not go with the rest."""
    from video_rs.runtime.errors import InputError

    if given:
        raise InputError(message)


def require_list(args: argparse.Namespace) -> None:
    """Raise InputError where there are no videos to read."""
    from video_rs.runtime.errors import InputError

    if not args.list:
        raise InputError(
            f"{args.what} needs --list: a list file, or a folder of class folders, with the videos to read"
        )


def set_sizes(args: argparse.Namespace) -> None:
    """Set batch and frames to what is usual for the kind of measurement, unless they are given."""
    if args.batch is None:
        args.batch = {"model": 1, "train": 2, "loop": 2, "data": 4}[args.what]
    if not args.frames:
        args.frames = [8, 16, 32] if args.what == "data" else [8]


def clip_of(args: argparse.Namespace) -> dict:
    """What all subjects have in common: bfloat16 on a GPU, float32 on a CPU unless told otherwise."""
    import torch

    from video_rs.runtime.errors import InputError

    if len(args.frames) > 1:
        raise InputError(f"--frames has {len(args.frames)} values; {args.what} takes one")
    frames = args.frames[0]
    for name, value in (("batch", args.batch), ("frames", frames), ("size", args.size), ("rounds", args.rounds)):
        if value < 1:
            raise InputError(f"--{name} is {value}; allowed: 1 or more")
    cuda = torch.cuda.is_available()
    if args.device == "cuda" and not cuda:
        raise InputError("--device is cuda, and PyTorch finds no such GPU here; allowed: auto, cpu")
    device = "cuda" if cuda and args.device != "cpu" else "cpu"
    default = "bfloat16" if device == "cuda" else "float32"
    precision = default if args.precision == "auto" else args.precision
    return {"batch": args.batch, "frames": frames, "size": args.size, "device": device, "precision": precision}


def engines_of(args: argparse.Namespace, clip: dict) -> list[str]:
    """Engines of ``accelerate``, which runs forward passes in float32; on a GPU its way is a row of its own."""
    from video_rs.benchmarks.network_benchmark import checked_engines
    from video_rs.runtime.errors import InputError

    if (args.what, clip["device"], clip["precision"]) == ("model", "cpu", "float32"):
        return checked_engines(None if args.engines is None else [name for name in args.engines.split(",") if name])
    if args.engines is not None:
        raise InputError("--engines is for model on a CPU in float32; leave it out")
    return []


def check_output(option: str, path: Path | None) -> None:
    """Makes the folder of an output file, and refuses a path that cannot be written before minutes are spent."""
    from video_rs.runtime.errors import InputError

    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise InputError(f"{option} {path}: its folder cannot be written ({error.strerror}); take another") from error
    if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
        raise InputError(f"{option} {path}: what is there cannot be written over; take another name")


def report(line: str) -> None:
    """Print progress, beside the results."""
    print(line, file=sys.stderr, flush=True)
