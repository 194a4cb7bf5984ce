"""Measure speed and memory of networks (model), optimizer steps or whole loops (train), and reading clips (data).

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
    parser.add_argument("what", choices=("model", "train", "data"), help="forward passes, steps, or reading")
    parser.add_argument("--peers", action="store_true", help="also networks of pytorchvideo and torchvision")
    parser.add_argument(
        "--network",
        default="r3d_rs_50",
        metavar="NAME",
        help="for model and train; video-rs models lists them (default: %(default)s)",
    )
    parser.add_argument(
        "--batch", type=int, metavar="CLIPS", help="of a call (default: 1 forward, 2 in training, 4 for data)"
    )
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
        help="videos, one recording's worth each, no shards: data reads them, train runs whole loops (default: none; "
        "train takes steps on random clips)",
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
    whole_loops = args.what == "train" and args.list
    result, text = data(args) if args.what == "data" else loops(args) if whole_loops else networks(args)
    print(text)
    if args.json:
        from video_rs.runtime.atomic import write_json

        write_json(args.json, result)


def networks(args: argparse.Namespace) -> tuple[dict, str]:
    """Forward passes, or optimizer steps: the JSON and the table; the plot is written here."""
    from video_rs.benchmarks import benchmark, machine
    from video_rs.benchmarks.speed_table import best_layer, ratios, table
    from video_rs.benchmarks.subjects import subjects_of
    from video_rs.reports.plots import png
    from video_rs.reports.speed_plot import speed_plot

    clip = clip_of(args)
    subjects = subjects_of(args.what, args.network, args.peers, engines_of(args, clip), clip)
    rows = benchmark.measure_rows(subjects, args.rounds, say)
    result = {"machine": machine.machine(clip["device"]), "rows": rows, "ratios": ratios(rows, args.network)}
    if args.what == "model":
        result["create_seconds"] = machine.creation_seconds(args.network, args.rounds)
    if args.plot:
        args.plot.write_bytes(png(speed_plot(rows, best_layer(rows))))
    return result, table(result)


def data(args: argparse.Namespace) -> tuple[dict, str]:
    """Reading training clips: the JSON and the table."""
    from video_rs.benchmarks import data_benchmark, machine
    from video_rs.benchmarks.data_subjects import data_ratios, data_table
    from video_rs.runtime.errors import InputError

    if not args.list:
        raise InputError("data needs --list: a list file, or a folder of class folders, with the videos to read")
    if args.plot:
        raise InputError("--plot is for model and train; leave it out")
    files = data_benchmark.data_files(args.list, args.prepared, args.short_side)
    rows = data_benchmark.measure_data(files, args.frames, args.size, args.peers, args.rounds, say)
    ratios = data_ratios(rows)
    result = {"machine": machine.machine("cpu"), "rows": rows, "ratios": ratios}
    if args.clips:
        from video_rs.benchmarks.data_endurance import endure

        result["endurance"] = endure(
            **files["prepared"], clips=args.clips, frames=args.frames[0], size=args.size, say=say
        )
    if args.doctor:
        from video_rs.benchmarks.data_doctor import probing_rates

        result["doctor"] = probing_rates(files["originals"]["videos"], args.rounds, say)
    if args.recording_minutes:
        from video_rs.benchmarks.data_containers import container_rates

        result["containers"] = container_rates(args.recording_minutes, args.frames[0], args.size, args.rounds, say)
    return result, data_table(result)


def loops(args: argparse.Namespace) -> tuple[dict, str]:
    """Whole training loops on files: the JSON and the table."""
    from video_rs.benchmarks import machine
    from video_rs.benchmarks.loop_subjects import loop_ratios, loop_subjects, loop_table, measure_loops
    from video_rs.lists.records import read_records
    from video_rs.runtime.errors import InputError
    from video_rs.runtime.workers import usable_cores

    if args.plot:
        raise InputError("--plot is for model and train without --list; leave it out")
    clip = clip_of(args)
    videos = [record.path for record in read_records(args.list, require_labels=False).records]
    rows = measure_loops(loop_subjects(args.network, videos, args.peers, usable_cores(), clip), args.rounds, say)
    result = {"machine": machine.machine(clip["device"]), "rows": rows, "ratios": loop_ratios(rows)}
    return result, loop_table(result)


def set_sizes(args: argparse.Namespace) -> None:
    """Set batch and frames to what is usual for the kind of measurement, unless they are given."""
    if args.batch is None:
        args.batch = {"model": 1, "train": 2, "data": 4}[args.what]
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
    from video_rs.benchmarks.subjects import checked_engines
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


def say(line: str) -> None:
    """Progress, beside the results."""
    print(line, file=sys.stderr, flush=True)
