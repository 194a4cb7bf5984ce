"""Timelines of videos of one minute to hours: how much faster than they play, and the most memory that it takes."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from video_rs.benchmarks.process import bare_environment
from video_rs.runtime.errors import InputError
from video_rs.runtime.progress import format_duration
from video_rs.runtime.wording import pluralize
from video_rs.video.encoding import write_video

WORKER = "video_rs.benchmarks.timeline_worker"
PIECE_SECONDS = 60
FPS = 25
HEIGHT = 240
WIDTH = 320
KEYFRAME_INTERVAL = 50


@dataclass(frozen=True)
class TimelineSubject:
    """What is measured, as plain data for a process of its own.

    Attributes:
        video: path.
        checkpoint: of the network; "": ``network`` with fresh weights.
        network: name of a model.
        classes: of such a network.
        frames, rate, size: of its windows: number of frames, frames from one to the next, pixels of a side.
        stride: seconds between windows; None: half a window.
    """

    video: str
    checkpoint: str = ""
    network: str = "r3d_rs_tiny"
    classes: int = 400
    frames: int = 8
    rate: int = 4
    size: int = 64
    stride: float | None = None


@dataclass(frozen=True)
class TimelineRow:
    """What was measured of one video.

    Attributes:
        seconds: length of the video.
        windows: how many were scored.
        wall_seconds: from opening the file to the timeline, without loading the network.
        peak_memory_mb: the most memory of the process, in MiB; None where the system hides it.
    """

    seconds: float
    windows: int
    wall_seconds: float
    peak_memory_mb: float | None

    @property
    def realtime_factor(self) -> float:
        """Return how many seconds of video a second of work is for."""
        return self.seconds / self.wall_seconds

    def to_dict(self) -> dict[str, Any]:
        """Return the row as benchmarks write it."""
        name = f"timeline {format_duration(self.seconds)}"
        return {"name": name, **asdict(self), "realtime_factor": self.realtime_factor}


def measure_timelines(
    durations: Sequence[float],
    folder: Path,
    report: Callable[[str], None] = print,
    **network: Any,
) -> list[TimelineRow]:
    """Return a row for each duration, measured one after the other in processes of their own.

    Args:
        durations: seconds, such as ``(60, 3600, 10800)``.
        folder: where the videos are made, if they are not there yet; of three hours, 0.5 GB.
        report: takes lines of progress.
        network: fields of :class:`TimelineSubject`.

    Raises:
        InputError: a process fails.
    """
    rows = []
    for seconds in durations:
        path = Path(folder) / f"long_{seconds:g}s.mp4"
        if not path.exists():
            report(f"making {path}")
            make_long_video(path, seconds)
        report(f"measuring the timeline of {format_duration(seconds)}")
        rows.append(measure_timeline(TimelineSubject(str(path), **network)))
    return rows


def measure_timeline(subject: TimelineSubject) -> TimelineRow:
    """Return what a process of its own measures.

    Raises:
        InputError: the process fails; the message has its last line.
    """
    command = [sys.executable, "-m", WORKER, json.dumps(asdict(subject))]
    # As the command sets it: threads that spin take the time of the one that decodes.
    environment = {**bare_environment(), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        last_line = (done.stderr.strip().splitlines() or [f"its process ended with code {done.returncode}"])[-1]
        raise InputError(f"the timeline of {subject.video} cannot be measured: {last_line}")
    return TimelineRow(**json.loads(done.stdout.splitlines()[-1]))


def timeline_lines(rows: Sequence[TimelineRow]) -> list[str]:
    """Return what was measured, as lines below the table."""
    lines = ["", "timelines, each in a process of its own:"]
    for row in rows:
        memory = "" if row.peak_memory_mb is None else f", {row.peak_memory_mb:.0f} MiB"
        lines.append(
            f"{row.realtime_factor:6.1f}  times as fast as it plays: {format_duration(row.seconds)}, "
            f"{pluralize(row.windows, 'window')} in {row.wall_seconds:.1f} s{memory}"
        )
    return lines


def make_long_video(path: Path, seconds: float) -> None:
    """Write a video of so many seconds, at least one: a minute of moving pictures, again and again.

    The minute is encoded once; its packets are copied.

    Args:
        path: of the file (MP4).
        seconds: how long it is to be.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    piece = path.with_name(f"{path.stem}_piece.mp4")
    try:
        frames = max(1, round(min(seconds, PIECE_SECONDS) * FPS))
        pictures = (_picture(number) for number in range(frames))
        write_video(piece, pictures, FPS, keyframe_interval=KEYFRAME_INTERVAL, options={"preset": "ultrafast"})
        _repeat(piece, path, round(seconds * FPS))
    finally:
        piece.unlink(missing_ok=True)


def _picture(number: int) -> np.ndarray:
    """Return a frame, uint8 ``[HEIGHT, WIDTH, 3]``: a pattern that moves behind a square that jumps each second."""
    rows = np.arange(HEIGHT)[:, None]
    columns = np.arange(WIDTH)[None, :]
    pattern = ((rows // 8 + (columns + 2 * number) // 8) % 2 * 90 + 40).astype(np.uint8)
    picture = np.repeat(pattern[:, :, None], 3, axis=2)
    left = number // FPS * 37 % (WIDTH - 60)
    picture[80:140, left : left + 60] = (200, 60, 30)
    return picture


def _repeat(piece: Path, path: Path, frames: int) -> None:
    """Copy the packets of a file until there are so many frames."""
    partial = path.with_name(f".{path.name}.partial.mp4")
    copied = 0
    offset = 0
    with av.open(str(partial), "w") as target:
        stream = None
        while copied < frames:
            with av.open(str(piece)) as source:
                video = source.streams.video[0]
                if stream is None:
                    stream = target.add_stream_from_template(video)
                length = video.duration
                for packet in source.demux(video):
                    if packet.size and copied < frames:
                        packet.pts += offset
                        packet.dts += offset
                        packet.stream = stream
                        target.mux(packet)
                        copied += 1
            offset += length
    partial.replace(path)
