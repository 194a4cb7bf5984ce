"""How long the networks of a study take for one clip, measured once and kept beside the study."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from video_rs.benchmarks.machine import describe_machine
from video_rs.benchmarks.measuring import Report, measure, row_of
from video_rs.benchmarks.subject import FORWARD, OURS, Subject
from video_rs.builders import build_architecture
from video_rs.config import Config
from video_rs.models import architecture
from video_rs.runtime.atomic import write_json
from video_rs.runtime.devices import pick_device
from video_rs.runtime.errors import InputError

FILE = "latency.json"
ROUNDS = 3
TOGETHER = 8  # processes that are there at once, each with its network in memory
STEADY = 0.2
"""A larger spread says that the machine had something else to do."""
# Numbers of two machines are not comparable; two systems of one machine are.
_SAME_MACHINE = ("processor", "cores", "gpu", "torch")


class Latency(NamedTuple):
    """Milliseconds of a forward pass of one clip.

    Attributes:
        milliseconds: median.
        spread: interquartile range over the median.
    """

    milliseconds: float
    spread: float


@dataclass(frozen=True)
class Latencies:
    """What was measured.

    Attributes:
        rows: row of the study -> its latency.
        machine: on which.
        trouble: why some are not there, or "".
    """

    rows: Mapping[str, Latency]
    machine: Mapping[str, Any]
    trouble: str = ""

    @property
    def unsteady(self) -> int:
        """How many rows have a latency whose spread is large."""
        return sum(latency.spread > STEADY for latency in self.rows.values())

    def describe_machine(self) -> str:
        """Return the machine in a few words."""
        return f"{self.machine['gpu'] or self.machine['processor']}, {self.machine['cores']} cores"


def measured_latencies(folder: Path, configs: Mapping[str, Config], report: Report) -> Latencies:
    """Return the latency of each row, measured now where it is not known of this machine.

    It is the benchmarks' measure: each network in a process of its own, in turn with the others, batch 1, float32.

    Args:
        folder: of the study, where the numbers are kept.
        configs: row -> its configuration.
        report: takes lines of progress.
    """
    subjects = {row: subject_of(config) for row, config in configs.items()}
    device = next(iter(subjects.values())).device
    machine = describe_machine(device)
    known = _read(folder / FILE, machine)

    missing = list(dict.fromkeys(subject for subject in subjects.values() if key(subject) not in known))
    trouble = ""
    for first in range(0, len(missing), TOGETHER):
        group = missing[first : first + TOGETHER]
        try:
            known |= _latencies(group, report)
        except InputError as error:
            trouble = str(error)
            # One of them is to blame, and costs no other.
            for subject in group if len(group) > 1 else ():
                try:
                    known |= _latencies([subject], report)
                except InputError as alone:
                    trouble = str(alone)
        _write(folder / FILE, machine, known)

    rows = {row: known[key(subject)] for row, subject in subjects.items() if key(subject) in known}
    return Latencies(rows, machine, trouble)


def _latencies(subjects: Sequence[Subject], report: Report) -> dict[str, Latency]:
    """Return the latencies of subjects that are measured in turn, by their keys."""
    found = {}
    for one in measure(subjects, ROUNDS, report):
        row = row_of(one, None)
        found[key(one.subject)] = Latency(1000 / row.clips_per_s, row.spread)
    return found


def subject_of(config: Config) -> Subject:
    """Return what is measured of a configuration: forward passes of one training clip."""
    arch = build_architecture(config)
    named = architecture(config.MODEL.ARCH)
    overrides = []
    for field in dataclasses.fields(arch):
        value = getattr(arch, field.name)
        if value != getattr(named, field.name):
            overrides.append((field.name, value))

    # The benchmarks know no other device.
    device = "cuda" if pick_device(config.DEVICE).type == "cuda" else "cpu"
    data = config.DATA
    return Subject(
        FORWARD,
        OURS,
        "eager",
        batch=1,
        frames=data.NUM_FRAMES,
        size=data.TRAIN_CROP_SIZE,
        network=config.MODEL.ARCH,
        device=device,
        overrides=tuple(overrides),
    )


def key(subject: Subject) -> str:
    """Return the text by which a measured network is known in the file."""
    return json.dumps([subject.network, dict(subject.overrides), subject.frames, subject.size], sort_keys=True)


def _read(path: Path, machine: Mapping[str, Any]) -> dict[str, Latency]:
    """Return what the file has of this machine; nothing where there is none, or none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if any(content["machine"][name] != machine[name] for name in _SAME_MACHINE):
            return {}
        return {row["key"]: Latency(row["milliseconds"], row["spread"]) for row in content["rows"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(path: Path, machine: Mapping[str, Any], known: Mapping[str, Latency]) -> None:
    rows: Sequence[Mapping[str, Any]] = [{"key": name, **latency._asdict()} for name, latency in known.items()]
    write_json(path, {"machine": dict(machine), "batch": 1, "precision": "float32", "rows": list(rows)})
