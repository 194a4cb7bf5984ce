"""Whole training loops: what ours adds to a bare step, and ours against a peer's, both on files."""

from collections.abc import Mapping, Sequence
from typing import Any

from video_rs.benchmarks.measuring import Report, Row, measure, row_of
from video_rs.benchmarks.network_benchmark import gflop_per_clip
from video_rs.benchmarks.subject import LIMIT, LOOP, MAIN_PEER, OURS, PEER, Subject
from video_rs.benchmarks.table import Column, clip_cell, memory_cell, spread_cell

BARE = "bare step"
IN_MEMORY = "our loop"
AVERAGED = "our loop, EMA"
ON_FILES = "our run"
PEER_LOOP = "pytorchvideo loop"
MEANINGS = {
    BARE: "forward, backward, optimizer; one batch in memory",
    IN_MEMORY: "our step and loop without EMA; batches in memory",
    AVERAGED: "the same with EMA, as published",
    ON_FILES: "the whole run on files: reading processes, step, loop, EMA",
    PEER_LOOP: f"its dataset, torch's DataLoader, {MAIN_PEER.split()[1]} and SGD as shipped, on the same files",
}
SIDES = {BARE: LIMIT, PEER_LOOP: PEER}
# The period that a checkpoint's cost is spread over.
CHECKPOINT_STEPS = 100


def loop_subjects(
    network: str, videos: Sequence[str], peers: bool, workers: int, clip: Mapping[str, Any]
) -> list[Subject]:
    """Return all rows; ``clip`` has batch, frames, size, device and precision of :class:`Subject`."""
    subjects = []
    for way in MEANINGS:
        side = SIDES.get(way, OURS)
        if side == PEER and not peers:
            continue
        subject = Subject(
            LOOP,
            side,
            way,
            network=MAIN_PEER if side == PEER else network,
            decoder="pyav",
            videos=tuple(videos),
            workers=workers,
            **clip,
        )
        subjects.append(subject)
    return subjects


def measure_loops(subjects: Sequence[Subject], rounds: int, report: Report) -> list[Row]:
    """Return the rows.

    Raises:
        InputError: a subject that cannot be measured.
    """
    rows = []
    for measured in measure(subjects, rounds, report):
        subject = measured.subject
        more = {"data_wait": measured.median("data_wait")}
        if subject.way == AVERAGED:
            more["checkpoint_s"] = measured.median("checkpoint_s")
        rows.append(row_of(measured, gflop_per_clip(subject), **more))
    return rows


def loop_ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Return what the loop, the average and a checkpoint every hundred steps add to a step, and ours over the peer."""
    by_way = {row.subject.way: row for row in rows}
    # The same network and batch in all of ours, so that times can be compared.
    seconds = {way: row.subject.batch / row.clips_per_s for way, row in by_way.items()}
    checkpoint = by_way[AVERAGED].more["checkpoint_s"] / (CHECKPOINT_STEPS * seconds[AVERAGED])
    ratios = {
        f"time of a step, {IN_MEMORY} / {BARE}": seconds[IN_MEMORY] / seconds[BARE],
        f"time of a step, {AVERAGED} / {BARE}": seconds[AVERAGED] / seconds[BARE],
        f"time of {CHECKPOINT_STEPS} steps, with a checkpoint / without": 1 + checkpoint,
    }
    if PEER_LOOP in by_way:
        ours = by_way[ON_FILES]
        peer = by_way[PEER_LOOP]
        ratios[f"GFLOP/s, {ON_FILES} / {PEER_LOOP}"] = ours.gflops_per_s / peer.gflops_per_s
        ratios[f"clips/s, {ON_FILES} / {PEER_LOOP}"] = ours.clips_per_s / peer.clips_per_s
    return ratios


LOOP_COLUMNS = [
    Column("", lambda row: row.subject.name, is_text=True),
    Column("network", lambda row: row.subject.network, is_text=True),
    Column("clip", clip_cell),
    Column("clips/s", lambda row: f"{row.clips_per_s:.3f}"),
    Column("GFLOP/s", lambda row: f"{row.gflops_per_s:.1f}"),
    Column("data wait", lambda row: f"{row.more['data_wait']:.1%}"),
    Column("MiB", memory_cell),
    Column("spread", spread_cell),
]


def loop_lines(rows: Sequence[Row]) -> list[str]:
    """Return what each row is."""
    return ["", *(f"{row.subject.way}: {MEANINGS[row.subject.way]}" for row in rows)]
