"""The same run on 1, 2 and 4 processes: the largest difference of its losses.

python tests/same_losses.py LIST OUT --steps 50

The global batch is the same, batch norm is synchronized, and what each process draws for itself is off: dropout,
stochastic depth, mixing. What is left is the order in which floats of 32 bits are added up.
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
    curves = []
    for count in args.processes:
        folder = args.out / f"processes_{count}"
        if code := start(args.list, folder, args.steps, keys=SAME, processes=count).wait():
            sys.exit(f"the run on {count} processes ended with {code}; see {folder}.txt")
        curves.append(losses(folder))
    print("step", *(f"{count:>10}" for count in args.processes))
    steps = list(zip(*curves, strict=True))
    for step, values in enumerate(steps, 1):
        if step == 1 or step % 10 == 0:
            print(f"{step:4}", *(f"{value:10.6f}" for value in values))
    differences = [(max(values) - min(values)) for values in steps]
    worst = max(range(len(steps)), key=differences.__getitem__)
    print(f"largest difference over {len(steps)} steps: {differences[worst]:.2e} at step {worst + 1}, ", end="")
    print(f"{differences[worst] / max(steps[worst]):.2e} of the loss; mean {sum(differences) / len(steps):.2e}")


if __name__ == "__main__":
    main()
