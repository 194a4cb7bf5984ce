"""Kills a real training run at random moments with SIGKILL, resumes it, and compares the weights it ends with:

python tests/kill_and_resume.py LIST OUT --kills 20

Two processes, reading processes, EMA, mixup, RandAugment, dropout and stochastic depth; a checkpoint every two steps.
Each round is a run of its own, killed at a moment between its start and its end, all processes at once; what it leaves
must be readable, and the resumed run must end with the weights, averages and momenta of the uninterrupted one.
"""

import argparse
import contextlib
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import torch

from video_rs.benchmarks.memory import descendants
from video_rs.engine.checkpoint import load_checkpoint
from video_rs.runtime.errors import InputError

TRAIN_NET = Path(__file__).parents[1] / "tools" / "train_net.py"
KEYS = {
    "MODEL.WIDTH": "0.25",
    "MODEL.DROPOUT": "0.3",
    "MODEL.STOCHASTIC_DEPTH": "0.2",
    "DATA.NUM_WORKERS": "2",
    "DATA.NUM_FRAMES": "8",
    "AUG.MIXUP_ALPHA": "0.2",
    "AUG.RAND_AUGMENT_LAYERS": "2",
    "SOLVER.EMA_DECAY": "0.99",
    "TRAIN.CHECKPOINT_STEPS": "2",
    "TRAIN.LOG_PERIOD": "1",
    "SOLVER.WARMUP_EPOCHS": "0",
    "DEVICE": "cpu",
}


def start(
    videos: Path,
    folder: Path,
    steps: int,
    *options: str,
    keys: dict[str, str] = KEYS,
    processes: int = 2,
    threads: int = 1,
) -> subprocess.Popen:
    """The run in ``folder``; what it prints goes to a file beside it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    keys = {**keys, "DATA.TRAIN_LIST": videos, "DATA.VAL_LIST": videos, "SOLVER.MAX_STEPS": steps, "OUTPUT_DIR": folder}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--master-port", str(port)]
    launcher += ["--nproc-per-node", str(processes)]
    arguments = [str(part) for pair in keys.items() for part in pair]
    with (folder.parent / f"{folder.name}.txt").open("ab") as printed:
        return subprocess.Popen(
            [*launcher, str(TRAIN_NET), "--cfg", "small_scratch.yaml", *options, *arguments],
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )


def family(process: int) -> list[int]:
    """A process and all that come from it: the launcher's own have sessions of theirs."""
    return [process, *descendants(process)]


def kill(run: subprocess.Popen) -> None:
    """The launcher, the training processes and their reading processes at once: none gets to clean up."""
    members = family(run.pid)
    for member in members:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    run.wait()
    while any(Path(f"/proc/{member}").exists() for member in members):
        time.sleep(0.01)


def fingerprint(path: Path) -> str:
    """A hash of every tensor of weights, averages and optimizer, with their names."""
    state = load_checkpoint(path)
    digest = hashlib.sha256(str(state["step"]).encode())
    optimizer = {
        f"{index}.{name}": value
        for index, values in state["optimizer"]["state"].items()
        for name, value in values.items()
    }
    for part in (state["model"], state["ema"], optimizer):
        for name, value in part.items():
            if isinstance(value, torch.Tensor):
                digest.update(name.encode() + value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def step_of(path: Path) -> str:
    """Step of the checkpoint that a killed run has left; ``none``, or why it cannot be read."""
    if not path.is_file():
        return "none"
    try:
        return str(load_checkpoint(path)["step"])
    except InputError as error:
        return f"CORRUPT: {error}"


def logged(folder: Path) -> int:
    """Steps that a run says it has taken."""
    log = folder / "log.jsonl"
    return log.read_bytes().count(b'"kind": "train"') if log.is_file() else 0


def main() -> None:
    """One uninterrupted run, then the rounds; exit code 1 where one ends elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path, help="list with a split column")
    parser.add_argument("out", type=Path, help="folder for the runs; must be new")
    parser.add_argument("--kills", type=int, default=20, help="rounds")
    parser.add_argument("--steps", type=int, default=24, help="optimizer steps of a run")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    if code := start(args.list, args.out / "whole", args.steps).wait():
        sys.exit(f"the uninterrupted run ended with {code}; see {args.out}/whole.txt")
    expected = fingerprint(args.out / "whole/checkpoints/last.pth")
    print(f"uninterrupted: {args.steps} steps, {expected}", flush=True)
    chance, equal, corrupt = random.Random(args.seed), 0, 0
    for number in range(1, args.kills + 1):
        folder = args.out / f"killed_{number:02d}"
        last = folder / "checkpoints/last.pth"
        run = start(args.list, folder, args.steps)
        # Between two steps or within one, or before the first; the start-up alone would be half of all random times.
        wanted, more = chance.randrange(args.steps), chance.uniform(0, 0.5)
        while run.poll() is None and logged(folder) < wanted:
            time.sleep(0.01)
        time.sleep(more)
        ended = run.poll() is not None
        kill(run)
        left = step_of(last)
        corrupt += left.startswith("CORRUPT")
        remains = "".join(f", {path.name} left" for path in folder.glob("checkpoints/*.partial"))
        code = start(args.list, folder, args.steps, "--resume").wait()
        found = fingerprint(last) if code == 0 else f"exit code {code}"
        equal += found == expected
        when = "after its end" if ended else f"{more:.2f} s after step {wanted}"
        print(f"{number:2}: killed {when}, checkpoint of step {left}{remains}; resumed: {found}", flush=True)
    print(f"{equal} of {args.kills} equal to the uninterrupted run, {corrupt} corrupt checkpoints")
    sys.exit(0 if equal == args.kills and corrupt == 0 else 1)


if __name__ == "__main__":
    main()
