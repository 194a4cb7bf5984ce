"""The same run on 1, 2 and 4 processes: the largest difference of its losses.

python tests/same_losses.py LIST OUT --steps 50

The global batch is the same, batch norm is synchronized, and what each process draws for itself is off: dropout,
stochastic depth, mixing. The learning rate is the published one, 0.8 for 1024 clips, in proportion, with warm-up.
What is left is the order in which floats of 32 bits are added up, which a network of ReLUs amplifies from step to
step: one process on two threads, which adds in another order too, says by how much.
"""

import argparse
import sys
from pathlib import Path

from kill_and_resume import KEYS, start

from video_rs.reports import read_log

SAME = {
    **KEYS,
    "MODEL.DROPOUT": "0",
    "MODEL.STOCHASTIC_DEPTH": "0",
    "AUG.MIXUP_ALPHA": "0",
    "TRAIN.SYNC_BATCH_NORM": "true",
    "SOLVER.BASE_LR": "0.8",
    "SOLVER.LR_FOR_BATCH_SIZE": "1024",
    "SOLVER.WARMUP_EPOCHS": "1",
    "TRAIN.CHECKPOINT_STEPS": "1000",
    "DATA.NUM_WORKERS": "1",
}


def losses(folder: Path) -> list[float]:
    """Of each step."""
    return [record["loss"] for record in read_log(folder / "log.jsonl") if record["kind"] == "train"]


def main() -> None:
    """Prints the losses side by side and their largest difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("list", type=Path, help="list with a split column")
    parser.add_argument("out", type=Path, help="folder for the runs; must be new")
    parser.add_argument("--steps", type=int, default=50, help="optimizer steps of a run")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4], help="of each run")
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    ways = [(count, 1) for count in args.processes] + [(1, 2)]
    curves = {}
    for processes, threads in ways:
        name = f"{processes} x {threads}"
        folder = args.out / name.replace(" ", "")
        code = start(args.list, folder, args.steps, keys=SAME, processes=processes, threads=threads).wait()
        if code:
            sys.exit(f"the run of {name} ended with {code}; see {folder}.txt")
        curves[name] = losses(folder)
    print("step (processes x threads)", *(f"{name:>10}" for name in curves))
    for step, values in enumerate(zip(*curves.values(), strict=True), 1):
        if step in (1, 2, 5) or step % 10 == 0:
            print(f"{step:26}", *(f"{value:10.6f}" for value in values))
    reference = curves[f"{args.processes[0]} x 1"]
    for name, curve in curves.items():
        differences = [abs(a - b) for a, b in zip(reference, curve, strict=True)]
        largest = max(differences)
        print(f"{name}: largest difference {largest:.1e} (step {differences.index(largest) + 1}), ", end="")
        print(f"first {differences[0]:.0e}")


if __name__ == "__main__":
    main()
