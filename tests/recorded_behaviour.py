"""Record what a checkout computes, and compare two records: for changes of the code that must not change a result.

python tests/recorded_behaviour.py record VIDEOS OUT [--checkout FOLDER]
python tests/recorded_behaviour.py compare OUT OTHER

A record holds the losses of 30 steps and a hash of the final weights of four configurations, each on one and on two
processes and stopped in the middle once; what testing and prediction say of them; and the files that the doctor and
the preparation of videos write. VIDEOS is a folder of class folders, or a list. The commands run in OUT, with the code
of ``--checkout``. Both records must be made on one machine: the order of additions is the processor's.
"""

import argparse
import csv
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch

from helpers import predictions

STEPS = 30
STOP_AFTER = 12
EVERYWHERE = {
    "SOLVER.MAX_STEPS": STEPS,
    "TRAIN.LOG_PERIOD": 1,
    "DATA.NUM_WORKERS": 1,
    "DEVICE": "cpu",
}
CONFIGS = {
    "motion_demo": ("motion_demo.yaml", {}),
    "mixed": (
        "small_scratch.yaml",
        {
            "DATA.TRAIN_LIST": "single.csv",
            "DATA.VAL_LIST": "single.csv",
            "AUG.MIXUP_ALPHA": 0.2,
            "AUG.CUTMIX_ALPHA": 1.0,
            "AUG.RAND_AUGMENT_LAYERS": 2,
            "AUG.RANDOM_ERASING": 0.25,
        },
    ),
    "published": (
        "kinetics_rs.yaml",
        {
            "DATA.TRAIN_LIST": "single.csv",
            "DATA.VAL_LIST": "single.csv",
            "DATA.LABEL_MAP": "",
            "MODEL.NUM_CLASSES": 0,
            "DATA.NUM_FRAMES": 8,
            "DATA.TRAIN_CROP_SIZE": 64,
            "DATA.TEST_SHORT_SIDE": 72,
            "DATA.TEST_CROP_SIZE": 64,
            "TRAIN.BATCH_SIZE": 8,
            "TEST.NUM_ENSEMBLE_VIEWS": 2,
            "TEST.NUM_SPATIAL_CROPS": 1,
            "SOLVER.BASE_LR": 0.01,
            "SOLVER.WARMUP_EPOCHS": 1,
            "SOLVER.EMA_DECAY": 0.9,
        },
    ),
    "multi_label": (
        "small_scratch.yaml",
        {
            "DATA.TRAIN_LIST": "several.csv",
            "DATA.VAL_LIST": "several.csv",
            "DATA.MULTI_LABEL": "true",
            "SOLVER.CLASS_WEIGHTS": 0.5,
            "SOLVER.OPTIMIZING_METHOD": "adamw",
            "SOLVER.BASE_LR": 0.001,
            "TRAIN.ACCUMULATION_STEPS": 2,
        },
    ),
}


def write_lists(out: Path) -> None:
    """Write ``single.csv`` and ``several.csv`` over the demo's clips, the second with one or two labels a row."""
    folder = out / "data" / "motion_demo"
    with (folder / "motion_demo.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    training = [row for row in rows if row["split"] == "train"][::4]
    validation = [row for row in rows if row["split"] == "val"][::8]
    for name in ("single", "several"):
        with (out / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "split"])
            for number, row in enumerate(training + validation):
                extra = ["", ";odd"][number % 2] if name == "several" else ""
                writer.writerow([folder / row["path"], row["label"] + extra, row["split"]])


class Checkout:
    """The commands of one checkout, run in one folder."""

    def __init__(self, checkout: Path, out: Path):
        self.tools = checkout / "tools"
        self.datasets = checkout / "datasets"
        # The script lay there once, and older checkouts are recorded, too.
        self.prepare_videos = self.datasets / "prepare_videos.py"
        if not self.prepare_videos.exists():
            self.prepare_videos = self.tools / "prepare_videos.py"
        self.out = out
        self.environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}

    def start(self, command: list[str]) -> subprocess.Popen:
        """Start a command; what it prints goes to ``printed.txt``."""
        with (self.out / "printed.txt").open("ab") as printed:
            return subprocess.Popen(
                command, cwd=self.out, env=self.environment, stdout=printed, stderr=subprocess.STDOUT
            )

    def run(self, *arguments: object, allowed: tuple[int, ...] = (0,)) -> None:
        """Run a Python command to its end."""
        command = [sys.executable, *map(str, arguments)]
        code = self.start(command).wait()
        if code not in allowed:
            sys.exit(f"{' '.join(command)} ended with {code}; see {self.out / 'printed.txt'}")

    def training(self, name: str, processes: int, folder: Path, *options: str) -> list[str]:
        """Return the command that trains one configuration."""
        config, changes = CONFIGS[name]
        keys = {**EVERYWHERE, **changes, "OUTPUT_DIR": folder}
        launcher = [sys.executable]
        if processes > 1:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            launcher += ["-m", "torch.distributed.run", "--master-port", str(port), "--nproc-per-node", str(processes)]
        pairs = [str(part) for pair in keys.items() for part in pair]
        return [*launcher, str(self.tools / "train_net.py"), "--cfg", config, *options, *pairs]

    def train_with_a_stop(self, name: str, processes: int, folder: Path) -> None:
        """Train, stopped by SIGTERM once after some steps and resumed."""
        run = self.start(self.training(name, processes, folder))
        while run.poll() is None and len(losses(self.out / folder)) < STOP_AFTER:
            time.sleep(0.05)
        if run.poll() is None:
            run.send_signal(signal.SIGTERM)
        run.wait()
        code = self.start(self.training(name, processes, folder, "--resume")).wait()
        if code:
            sys.exit(f"{folder} could not be resumed ({code}); see {self.out / 'printed.txt'}")


def losses(folder: Path) -> list[float]:
    """Return the loss of each step in a run's log; the last of those that a stop repeated."""
    log = folder / "log.jsonl"
    found = {}
    for line in log.read_text().splitlines() if log.exists() else ():
        if line.endswith("}"):
            record = json.loads(line)
            if record["kind"] == "train":
                found[record["step"]] = record["loss"]
    return [found[step] for step in sorted(found)]


def predictions_of(folder: Path) -> list[str]:
    """The lines of predictions.jsonl, which older checkouts write, or the same of predictions.parquet."""
    lines = folder / "predictions.jsonl"
    if lines.exists():
        return lines.read_text().splitlines()
    return [json.dumps(row, ensure_ascii=False) for row in predictions.rows(folder)]


def hash_of_weights(checkpoint: Path) -> str:
    """Return a hash over names and bytes of the weights, their averages and the optimizer's momenta."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    digest = hashlib.sha256()
    momenta = {
        f"{number}.{name}": value
        for number, values in state["optimizer"]["state"].items()
        for name, value in values.items()
        if isinstance(value, torch.Tensor)
    }
    for part in (state["model"], state["ema"] or {}, momenta):
        for name in sorted(part):
            digest.update(name.encode())
            digest.update(part[name].detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def hashes_of_files(folder: Path, pattern: str) -> dict[str, str]:
    """Return ``{path: hash}`` of the files in a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }


def record(videos: Path, out: Path, checkout: Path) -> dict:
    """Run everything and return the record."""
    out.mkdir(parents=True, exist_ok=True)
    here = Checkout(checkout, out)
    here.run(here.datasets / "motion_demo.py", "--out", "data/motion_demo")
    write_lists(out)
    found: dict = {"training": {}, "testing": {}, "prediction": {}}

    for name in CONFIGS:
        for processes in (1, 2):
            folder = Path("runs") / f"{name}_{processes}"
            here.train_with_a_stop(name, processes, folder)
            last = out / folder / "checkpoints" / "last.pth"
            found["training"][folder.name] = {
                "losses": losses(out / folder),
                "weights": hash_of_weights(last),
                "metrics": metrics_of(out / folder / "metrics.json"),
            }
            print(folder.name, found["training"][folder.name]["losses"][-1], flush=True)

        run = Path("runs") / f"{name}_1"
        here.run(here.tools / "test_net.py", "--checkpoint", run)
        found["testing"][name] = {
            "metrics": metrics_of(out / run / "test" / "metrics.json"),
            "predictions": predictions_of(out / run / "test"),
        }
        clips = sorted((out / "data" / "motion_demo" / "val").rglob("*.mp4"))[::40]
        answers = out / f"{name}.json"
        here.run(here.tools / "predict.py", "--checkpoint", run, *clips, "--json", answers)
        found["prediction"][name] = json.loads(answers.read_text())

    here.run(here.tools / "check_dataset.py", videos, "--out", "check", allowed=(0, 1, 2))
    found["doctor"] = {
        name: (out / "check" / name).read_text().splitlines() for name in ("clean.csv", "quarantine.csv")
    }
    here.run(here.prepare_videos, out / "check" / "clean.csv", "--out", "prepared", allowed=(0, 2))
    found["prepare"] = {
        "list": (out / "prepared" / "list.csv").read_text().splitlines(),
        "files": hashes_of_files(out / "prepared", "**/*.mp4"),
    }
    return found


def metrics_of(path: Path) -> dict:
    """Return what a metrics.json says of accuracy."""
    metrics = json.loads(path.read_text())
    return {key: value for key, value in metrics.items() if key not in ("checkpoint", "list")}


def differences(ours, theirs, place: str = "") -> list[str]:
    """Return a line for each value in which two records differ; paths below the records' own folders are one."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = sorted({*ours, *theirs})
        return [line for key in keys for line in differences(ours.get(key), theirs.get(key), f"{place}/{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [line for i, (a, b) in pairs for line in differences(a, b, f"{place}/{i}")]
    return [] if ours == theirs else [f"{place}: {str(ours)[:300]} -> {str(theirs)[:300]}"]


def main() -> None:
    """Record, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("videos", type=Path, help="folder or list for the doctor and the preparation")
    recording.add_argument("out", type=Path, help="folder to work in")
    recording.add_argument("--checkout", type=Path, default=Path(__file__).parents[1], help="whose code to run")
    comparing = commands.add_parser("compare")
    comparing.add_argument("out", type=Path, help="folder of one record")
    comparing.add_argument("other", type=Path, help="folder of the other")
    args = parser.parse_args()

    if args.command == "record":
        out = args.out.resolve()
        found = record(args.videos.resolve(), out, args.checkout.resolve())
        (out / "record.json").write_text(json.dumps(found, indent=1).replace(str(out), "OUT"))
        return

    ours, theirs = (json.loads((folder / "record.json").read_text()) for folder in (args.out, args.other))
    found = differences(ours, theirs)
    print("\n".join(found) or f"equal: {len(ours['training'])} runs of {STEPS} steps, tests, predictions, lists, files")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
