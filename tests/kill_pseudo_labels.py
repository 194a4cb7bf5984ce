"""Kills pseudo-labelling at random moments with SIGKILL, goes on, and looks whether each video is there exactly once:

python tests/kill_pseudo_labels.py TEACHER LIST OUT --files 5000 --kills 3
python tests/kill_pseudo_labels.py TEACHER LIST OUT --files 5000 --kills 3 --engine ray

Hard links to the videos of the list, under other names, make the number of files. Two torchrun processes, or two actors
of Ray, label them without a stop, for comparison; then into a second folder. Each time when a random number of shards
is finished all processes are killed and started again, or with Ray one actor, while the others go on.
Prints files per second, start of the processes included, and the largest memory of all processes together.
"""

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from pyarrow import parquet

from video_rs.benchmarks.memory import descendants
from video_rs.lists.records import read_records

PSEUDO_LABEL = Path(__file__).parents[1] / "tools" / "pseudo_label.py"


def make_files(source: str, out: Path, count: int) -> Path:
    """Link ``count`` files, and write their list."""
    records = read_records(source, require_labels=False).records
    (out / "videos").mkdir(parents=True)
    lines = ["path"]
    for number in range(count):
        old = Path(records[number % len(records)].path)
        name = f"videos/{number:06d}{old.suffix}"
        try:
            os.link(old, out / name)
        except OSError:
            (out / name).symlink_to(old)
        lines.append(name)
    (out / "list.csv").write_text("\n".join(lines) + "\n")
    return out / "list.csv"


def start(engine: str, teacher: str, listed: Path, folder: Path) -> subprocess.Popen:
    """Start two processes."""
    if engine == "ray":
        command = [sys.executable, PSEUDO_LABEL, "--engine", "ray", "--actors", "2"]
    else:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", PSEUDO_LABEL]
    options = ["--teacher", teacher, "--list", listed, "--out", folder, "--processes", "1", "--device", "cpu"]
    options += ["--shard-videos", "16"]
    return subprocess.Popen([*map(str, command), *map(str, options)], start_new_session=True)


def resident(process: subprocess.Popen) -> int:
    """Return the bytes of memory of a process and all below it; shared pages count several times."""
    total = 0
    for pid in [process.pid, *descendants(process.pid)]:
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            total += pages * os.sysconf("SC_PAGE_SIZE")
    return total


def finish(process: subprocess.Popen) -> list[int]:
    """Wait for the end, and return the memory each second."""
    memory = []
    while process.poll() is None:
        memory.append(resident(process))
        time.sleep(1)
    if process.returncode:
        sys.exit(f"ended with {process.returncode}")
    return memory


def kill(process: subprocess.Popen) -> None:
    """Kill all processes at once."""
    # Reading processes and workers of torchrun may have sessions of their own.
    for pid in [process.pid, *descendants(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def kill_one(process: subprocess.Popen) -> None:
    """Kill one actor of Ray, in the middle of its work."""
    for pid in descendants(process.pid):
        with contextlib.suppress(OSError):
            # Ray names its processes after what they do; reading processes have the name of their actor.
            words = Path(f"/proc/{pid}/cmdline").read_bytes()
            is_actor = words.startswith(b"ray::LabellingActor")
            if is_actor and descendants(pid):
                os.kill(pid, signal.SIGKILL)
                print(f"killed the actor {pid}", flush=True)
                return
    sys.exit("no actor was at work")


def count(folder: Path) -> int:
    """Return how many shards there are."""
    return len(list(folder.glob("[0-9]*.parquet")))


def rows(folder: Path) -> list[dict]:
    """Return the rows of all shards, in order."""
    return [row for path in sorted(folder.glob("[0-9]*.parquet")) for row in parquet.read_table(path).to_pylist()]


def main() -> None:
    """Label, kill, go on, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("teacher")
    parser.add_argument("list")
    parser.add_argument("out", type=Path)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engine", default="local", choices=("local", "ray"))
    args = parser.parse_args()
    listed = make_files(args.list, args.out, args.files)

    def begin(folder: Path) -> subprocess.Popen:
        return start(args.engine, args.teacher, listed, folder)

    started = time.perf_counter()
    memory = finish(begin(args.out / "whole"))
    seconds = time.perf_counter() - started
    quarter = max(1, len(memory) // 4)
    early = max(memory[quarter : 2 * quarter], default=max(memory)) / 2**20
    print(f"{args.files / seconds:.1f} files/s; MiB early {early:.0f}, largest {max(memory) / 2**20:.0f}", flush=True)

    # At numbers of finished shards, not at times: a kill while the processes start would prove nothing.
    shards = count(args.out / "whole")
    targets = sorted(random.Random(args.seed).sample(range(1, shards - 2), args.kills))
    finished_early = 0
    process = begin(args.out / "killed")
    for target in targets:
        while process.poll() is None and count(args.out / "killed") < target:
            time.sleep(0.01)
        finished_early += process.poll() is not None
        if args.engine == "ray":
            kill_one(process)
        else:
            kill(process)
            print(f"killed with {count(args.out / 'killed')} of {shards} shards", flush=True)
            process = begin(args.out / "killed")
    finish(process)

    whole = rows(args.out / "whole")
    killed = rows(args.out / "killed")
    expected = [record.path for record in read_records(str(listed), require_labels=False).records]
    once = [row["path"] for row in killed] == expected == [row["path"] for row in whole]
    same = whole == killed
    print(f"each video exactly once: {once}; answers equal to the bit: {same}; ended before a kill: {finished_early}")
    sys.exit(0 if once and same and not finished_early else 1)


if __name__ == "__main__":
    main()
