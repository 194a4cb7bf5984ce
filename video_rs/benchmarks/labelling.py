"""Pseudo-labels of many short files: the command on one process, on two, and on Ray, beside a plain loop.

Each way is a whole command, from the start of Python to the last file, into a folder of its own.
"""

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from video_rs.benchmarks.measuring import Report, spread
from video_rs.benchmarks.memory import family_memory_mb
from video_rs.benchmarks.process import bare_environment
from video_rs.benchmarks.table import machine_line
from video_rs.runtime.errors import InputError
from video_rs.runtime.families import end_family
from video_rs.runtime.unfinished import temporary_folder
from video_rs.runtime.wording import pluralize

PLAIN = "plain loop"
ONE = "one process"
TORCHRUN = "torchrun, two processes"
RAY = "ray, two actors"
MEANINGS = {
    PLAIN: "Predictor.predict on one video after the other",
    ONE: "pseudo_label, two reading processes",
    TORCHRUN: "two processes of pseudo_label, each with one reading process",
    RAY: "two actors, each with one reading process",
}
# Every process computes with one thread, and two of them at most compute at a time.
ENVIRONMENT = {"OMP_NUM_THREADS": "1"}
# Seconds between looks at the memory.
MEMORY_PERIOD = 0.5


@dataclass(frozen=True)
class LabelledFiles:
    """What is labelled.

    Attributes:
        teacher: as ``--teacher`` takes it.
        count: of the files.
        listed: a list of them.
        lines: the same paths, one a line.
    """

    teacher: str
    count: int
    listed: Path
    lines: Path


@dataclass
class LabellingRow:
    """What was measured of a way.

    Attributes:
        way: one of :data:`MEANINGS`.
        rates: files per second of each round.
        peak_mb: most memory of all its processes together, in MiB; None where the system hides it.
    """

    way: str
    rates: list[float] = field(default_factory=list)
    peak_mb: float | None = None

    @property
    def files_per_s(self) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.rates)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "name": self.way,
            "files_per_s": self.files_per_s,
            "spread": spread(self.rates),
            "peak_memory_mb": self.peak_mb,
            "rounds": len(self.rates),
        }


def make_files(teacher: str, videos: Sequence[str], count: int, folder: Path) -> LabelledFiles:
    """Link videos under other names until there are so many, and list them."""
    (folder / "videos").mkdir()
    paths = []
    for number, video in enumerate(itertools.islice(itertools.cycle(videos), count)):
        path = folder / "videos" / f"{number:06d}{Path(video).suffix}"
        path.symlink_to(Path(video).resolve())
        paths.append(str(path))

    lines = folder / "paths.txt"
    lines.write_text("\n".join(paths) + "\n", encoding="utf-8")
    listed = folder / "list.csv"
    listed.write_text("\n".join(["path", *paths]) + "\n", encoding="utf-8")
    return LabelledFiles(teacher, count, listed, lines)


def measure_labelling(files: LabelledFiles, ways: Sequence[str], rounds: int, report: Report) -> list[LabellingRow]:
    """Measure ways in turn, so many times over.

    Raises:
        InputError: a command fails; the message has its last line.
    """
    rows = {way: LabellingRow(way) for way in ways}
    for number in range(rounds):
        for way, row in rows.items():
            report(f"round {number + 1} of {rounds}: {way}")
            # Each begins with nothing done.
            with temporary_folder() as folder:
                seconds, peak = _run(way, _command(way, files, folder), folder)
            row.rates.append(files.count / seconds)
            if peak is not None:
                row.peak_mb = max(peak, row.peak_mb or 0.0)
    return list(rows.values())


def _command(way: str, files: LabelledFiles, folder: Path) -> list[str]:
    """Return the command of a way."""
    if way == PLAIN:
        module = "video_rs.benchmarks.plain_labelling"
        return [sys.executable, "-m", module, files.teacher, str(files.lines), str(folder / "out.csv")]

    start = [sys.executable, "-m"]
    if way == TORCHRUN:
        start += ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command = ["video_rs", "pseudo_label", "--teacher", files.teacher, "--list", str(files.listed)]
    command += ["--out", str(folder / "answers"), "--device", "cpu", "--processes", "2" if way == ONE else "1"]
    if way == RAY:
        command += ["--engine", "ray", "--actors", "2"]
    return [*start, *command]


def _run(way: str, command: Sequence[str], folder: Path) -> tuple[float, float | None]:
    """Return the seconds of a command, and the most memory of its processes together, in MiB.

    Its temporary files lie in ``folder`` and go with it: a command that is killed cannot remove them.
    """
    own = family_memory_mb()
    peak = own
    started = time.perf_counter()
    # A file, not a pipe: nobody reads it while the command runs.
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        environment = {**bare_environment(), **ENVIRONMENT, "TMPDIR": str(folder)}
        process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)
        try:
            while process.poll() is None:
                _wait(process)
                if own is not None:
                    peak = max(peak, family_memory_mb())
        finally:
            end_family(process)
        seconds = time.perf_counter() - started

        if process.returncode != 0:
            said.seek(0)
            silent = f"its process ended with code {process.returncode}"
            *_, last_line = [silent, *said.read().strip().splitlines()]
            raise InputError(f"{way} cannot be measured: {last_line}")
    return seconds, None if own is None else peak - own


def _wait(process: subprocess.Popen) -> None:
    """Wait for the end of a process, but not for long."""
    try:
        process.wait(MEMORY_PERIOD)
    except subprocess.TimeoutExpired:
        return


def labelling_ratios(rows: Sequence[LabellingRow]) -> dict[str, float]:
    """Return each way over the plain loop, in files per second."""
    rates = {row.way: row.files_per_s for row in rows}
    return {f"files/s, {way} / {PLAIN}": rate / rates[PLAIN] for way, rate in rates.items() if way != PLAIN}


def labelling_text(rows: Sequence[LabellingRow], files: LabelledFiles, machine: Mapping[str, Any]) -> str:
    """Return the result for people."""
    rounds = pluralize(len(rows[0].rates), "round")
    text = [
        f"{pluralize(files.count, 'file')}, start of the command included, median of {rounds}, one thread each:",
        "",
    ]
    text.append(f"{'':24}{'files/s':>10}{'MiB':>8}{'spread':>8}")
    for row in rows:
        memory = "" if row.peak_mb is None else f"{row.peak_mb:.0f}"
        text.append(f"{row.way:24}{row.files_per_s:10.1f}{memory:>8}{spread(row.rates):8.0%}")
    text.append("")
    text += [f"{value:6.3f}  {name}" for name, value in labelling_ratios(rows).items()]
    text.append("")
    text += [f"{row.way}: {MEANINGS[row.way]}" for row in rows]
    text += ["", machine_line(machine)]
    return "\n".join(text)
