"""Videos made to be read, and random clips from a long one: does its container make the reader go too far?"""

import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from video_rs.benchmarks.measuring import Report, spread
from video_rs.benchmarks.published import published_clips, published_transform
from video_rs.data.dataset import ClipReader, VideoSource
from video_rs.lists.records import VideoRecord
from video_rs.runtime.unfinished import temporary_folder
from video_rs.video.encoding import write_video

CONTAINERS = ("mp4", "ts")
# Frames per second, and frames from one key frame to the next.
FPS = 25
GROUP = 50
# Seconds that are encoded; a longer recording repeats their packets.
SECONDS = 20
# Clips of each container in a round.
CLIPS = 20


def container_rates(minutes: float, frames: int, size: int, rounds: int, report: Report) -> list[dict[str, Any]]:
    """Measure clips per second from one H.264 stream with B-frames in MP4 and in MPEG-TS, in turn.

    The same frames are read from both. What opening costs once (the scan of all packets) is no part of it: a process
    keeps the index of a file that is long to scan.

    Returns:
        For each container ``container``, ``minutes``, ``open_s`` (the first time), ``clips_per_s`` (median of the
        rounds) and ``spread``; and ``ratio``, the median over the rounds of its speed over MP4's.
    """
    with temporary_folder() as folder:
        paths = write_recordings(folder, minutes)
        read = ClipReader(published_clips(frames), published_transform(size), VideoSource(), 0)
        records = {name: VideoRecord(str(path), (0,), None, None, name) for name, path in paths.items()}
        opening = {name: _seconds(read, record, range(1)) for name, record in records.items()}

        rates: dict[str, list[float]] = {name: [] for name in CONTAINERS}
        for number in range(rounds):
            report(f"clips of {minutes:g} minutes in {' and '.join(CONTAINERS)}, round {number + 1} of {rounds}")
            picks = range(number * CLIPS, (number + 1) * CLIPS)
            for name, record in records.items():
                rates[name].append(CLIPS / _seconds(read, record, picks))

    # Ratios are taken round by round: what slowed one container for a while slowed the other, too.
    rows = []
    for name, measured in rates.items():
        ratios = np.divide(measured, rates["mp4"]).tolist()
        rows.append(
            {
                "container": name,
                "minutes": minutes,
                "open_s": opening[name],
                "clips_per_s": statistics.median(measured),
                "spread": spread(measured),
                "ratio": statistics.median(ratios),
            }
        )
    return rows


def container_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what :func:`container_rates` measured, as lines below the table."""
    lines = ["", f"random clips of one stream of {rows[0]['minutes']:g} minutes:"]
    for row in rows:
        speed = f"{row['clips_per_s']:6.1f} clips/s, {row['container']:<3} ({row['ratio']:.3f} of mp4)"
        lines.append(f"{speed}, {row['open_s']:.2f} s for the first clip")
    return lines


def _seconds(read: ClipReader, record: VideoRecord, picks: range) -> float:
    """Return the seconds for one clip of each pick, which says at random where it is."""
    started = time.perf_counter()
    for pick in picks:
        [sample] = read(record, 0, pick)
        assert sample.error is None, sample.error
    return time.perf_counter() - started


def write_recordings(folder: Path, minutes: float) -> dict[str, Path]:
    """Write one stream into a file of each container, the packets of a shorter one over and over."""
    seed = folder / "seed.mp4"
    write_moving_noise(seed, SECONDS)

    paths = {name: folder / f"recording.{name}" for name in CONTAINERS}
    for path in paths.values():
        _repeat(seed, path, max(1, round(minutes * 60 / SECONDS)))
    return paths


def write_moving_noise(path: Path, seconds: int) -> None:
    """Write an H.264 stream with B-frames, 340 x 256: noise that moves, a pattern that repeats."""
    texture = np.random.default_rng(0).integers(0, 256, (64, 85, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    pictures = np.stack([np.roll(texture, (number, 2 * number), (0, 1)) for number in range(seconds * FPS)])
    write_video(path, pictures, fps=FPS, keyframe_interval=GROUP, options={"bf": "2", "preset": "veryfast"})


def _repeat(seed: Path, path: Path, times: int) -> None:
    """Write the packets of a file several times over, each time later."""
    with av.open(str(seed)) as read, av.open(str(path), "w") as written:
        source = read.streams.video[0]
        target = written.add_stream_from_template(source)
        packets = [packet for packet in read.demux(source) if packet.size]
        span = round(SECONDS / source.time_base)
        for repeat in range(times):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts = packet.pts + repeat * span
                copy.dts = packet.dts + repeat * span
                copy.duration = packet.duration
                copy.time_base = packet.time_base
                copy.is_keyframe = packet.is_keyframe
                copy.stream = target
                written.mux(copy)
