"""What the data benchmark measures: decoding alone, our pipeline in every way, and peers; plain data for a process."""

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from video_rs.runtime.errors import InputError
from video_rs.video import reader_class

# What each way needs beside the package's own dependencies.
DECODING = {"decode pyav": None, "decode torchcodec": "torchcodec", "decode decord": "decord"}
OURS = {"ours pyav": None, "ours torchcodec": "torchcodec", "ours decord": "decord"}
AUTO = "ours pyav"  # what DATA.DECODER auto takes
OTHER_READERS = {"ours, DataLoader": None, "ours, threads": "spdl"}
REPEATED = {"ours, 2 clips a video": None, "ours, 4 clips a video": None}
PEERS = {"pytorchvideo pyav": "pytorchvideo", "pytorchvideo decord": "decord", "plain PyAV loop": None}


@dataclass(frozen=True)
class DataSubject:
    """One row of the data benchmark.

    Attributes:
        name: of the row.
        how: a key of the tables above.
        files: "originals" or "prepared".
        videos: paths.
        frames: of a clip.
        size: pixels of a side of the crop that training takes.
        cache: probe cache that our ways read; empty: none.
        kind, device: as of :class:`video_rs.benchmarks.subjects.Subject`.
    """

    name: str
    how: str
    files: str
    videos: Sequence[str]
    frames: int
    size: int
    cache: str = ""
    kind: str = "data"
    device: str = "cpu"

    @property
    def has_our_settings(self) -> bool:
        """Whether our settings of the process belong to it."""
        return self.how.startswith("ours")


def data_subjects(files: Mapping[str, Mapping[str, Any]], frames: int, size: int, peers: bool) -> list[DataSubject]:
    """Every way that can be taken here, on each kind of files.

    Args:
        files: "originals" and "prepared" -> ``videos`` and ``cache`` of :class:`DataSubject`.
        frames, size: of a clip.
        peers: whether :data:`PEERS` are among them.
    """
    ways = {**DECODING, **OURS, **OTHER_READERS, **REPEATED, **(PEERS if peers else {})}
    ways = [how for how, package in ways.items() if package is None or _is_there(package)]
    return [
        DataSubject(f"{how}, {kind}, {frames} frames", how, kind, frames=frames, size=size, **where)
        for kind, where in files.items()
        for how in ways
    ]


def _is_there(package: str) -> bool:
    """Whether it is installed, and torchcodec with the libraries that it needs."""
    if importlib.util.find_spec(package) is None:
        return False
    try:
        return package != "torchcodec" or reader_class(package) is not None
    except InputError:
        return False


def data_ratios(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Ours over the limit (the fastest decoding alone), over the fastest peer, and prepared over original files."""
    ratios: dict[str, float] = {}
    by_place: dict[tuple[str, int], dict[str, float]] = {}
    for row in rows:
        subject = row["subject"]
        by_place.setdefault((subject["files"], subject["frames"]), {})[subject["how"]] = row["clips_per_s"]
    for (files, frames), speed in by_place.items():
        pairs = [(how, other) for how in OURS for other in (_best(speed, DECODING), _best(speed, PEERS))]
        pairs += [(how, AUTO) for how in (*OTHER_READERS, *REPEATED)]
        for how, other in pairs:
            if how in speed and other in speed:
                ratios[f"{how} / {other}, {files}, {frames} frames"] = speed[how] / speed[other]
        originals = by_place.get(("originals", frames), {})
        peer = _best(originals, PEERS)
        if files == "prepared" and peer:
            for how in filter(speed.get, (AUTO, *REPEATED)):
                ratios[f"{how} on prepared / {peer} on originals, {frames} frames"] = speed[how] / originals[peer]
    return ratios


def _best(speed: Mapping[str, float], ways: Mapping[str, Any]) -> str | None:
    return max((how for how in ways if how in speed), key=lambda how: speed[how], default=None)


def data_table(result: Mapping[str, Any]) -> str:
    """The rows as aligned text, then the ratios, memory over many clips, and the machine."""
    lines = [("", "files", "frames", "clips/s", "first clip s", "MiB", "spread")]
    for row in result["rows"]:
        subject, memory = row["subject"], row["peak_memory_mb"]
        numbers = [f"{row['clips_per_s']:.2f}", f"{row['first_clip_s']:.2f}", "" if memory is None else f"{memory:.0f}"]
        lines.append((subject["how"], subject["files"], str(subject["frames"]), *numbers, f"{row['spread']:.0%}"))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = [
        "  ".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    text += ["", *(f"{value:6.3f}  {name}" for name, value in result["ratios"].items())]
    if many := result.get("endurance"):
        text += [
            "",
            f"{many['clips']} clips, 2 workers: {many['settled_mb']:.0f} MiB after the first thousand, "
            f"{many['end_mb']:.0f} at the end ({many['growth']:+.1%}), at most {many['most_mb']:.0f}; "
            f"{many['clips_per_s']:.0f} clips/s; left behind: {many['files_left']} files, "
            f"{many['processes_left']} processes",
        ]
    if checked := result.get("doctor"):
        text += ["", f"checking {checked[0]['files']} files, first and last frame decoded:"]
        text += [f"{row['files_per_s']:6.1f} files/s, {row['processes']} processes" for row in checked]
    if containers := result.get("containers"):
        text += ["", f"random clips of one stream of {containers[0]['minutes']:g} minutes:"]
        for row in containers:
            speed = f"{row['clips_per_s']:6.1f} clips/s, {row['container']:<3} ({row['ratio']:.3f} of mp4)"
            text.append(f"{speed}, {row['open_s']:.2f} s for the first clip")
    machine = result["machine"]
    return "\n".join([*text, "", f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}"])
