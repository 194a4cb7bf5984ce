"""Speed and memory: ``python tools/benchmark.py {model,train} [--peers] --json OUT``. Leave the machine to it alone."""

import argparse
import sys
from pathlib import Path

from video_rs import cli


def main() -> None:
    """Measures, prints a table and the ratios, and writes JSON and a plot."""
    args = arguments()
    from video_rs.errors import InputError
    from video_rs.reports.atomic import write_json
    from video_rs.reports.plots import png
    from video_rs.reports.speed_plot import speed_plot
    from video_rs.studies import benchmark
    from video_rs.studies.speed_table import ratios, table

    if min(args.batch, args.frames, args.size, args.rounds) < 1:
        raise InputError("--batch, --frames, --size and --rounds must be at least 1")
    rows = benchmark.measure_rows(args.what, args.network, args.peers, clip_of(args), args.rounds, say)
    result = {"machine": benchmark.machine(), "rows": rows, "ratios": ratios(rows, args.network)}
    if args.what == "model":
        result["create_seconds"] = benchmark.creation_seconds(args.network, args.rounds)
    print(table(result))
    if args.json:
        write_json(Path(args.json), result)
    if args.plot:
        peak = next((row["gflops_per_s"] for row in rows if not row["clips_per_s"]), None)
        Path(args.plot).write_bytes(png(speed_plot(rows, peak)))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("model", "train"), help="forward passes, or optimizer steps")
    parser.add_argument("--peers", action="store_true", help="also networks of pytorchvideo and torchvision")
    parser.add_argument("--network", default="r3d_rs_50", help="one of video_rs.list_models()")
    parser.add_argument("--batch", type=int, default=0, help="clips per call; default 1 forward, 2 in training")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", type=int, default=224, help="pixels of a side")
    parser.add_argument("--rounds", type=int, default=5, help="all subjects in turn, so many times")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--precision", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--json", default="", metavar="OUT", help="machine, rows and ratios")
    parser.add_argument("--plot", default="", metavar="PNG", help="clips per second over GFLOP per clip")
    args = parser.parse_args()
    args.batch = args.batch or {"model": 1, "train": 2}[args.what]
    return args


def clip_of(args: argparse.Namespace) -> dict:
    """What all subjects have in common: bfloat16 on a GPU, float32 on a CPU unless told otherwise."""
    from video_rs.engine.distributed import pick_device

    device = pick_device(args.device).type
    default = "bfloat16" if device == "cuda" else "float32"
    precision = default if args.precision == "auto" else args.precision
    return {"batch": args.batch, "frames": args.frames, "size": args.size, "device": device, "precision": precision}


def say(line: str) -> None:
    """Progress, beside the results."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    cli.run(main)
