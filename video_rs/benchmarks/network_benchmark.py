"""Forward passes and optimizer steps of networks: ours in every way, the best single layer, and peers."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from video_rs.benchmarks.measuring import Measurement, Report, Row, measure, row_of
from video_rs.benchmarks.networks import PEERS, forward_gflop
from video_rs.benchmarks.process import started
from video_rs.benchmarks.subject import FORWARD, LAYERS, LIMIT, LOOP, MAIN_PEER, OURS, PEER, TRAIN, Subject
from video_rs.benchmarks.table import Column, clip_cell, four_digits, memory_cell, spread_cell
from video_rs.inference.conversion import missing
from video_rs.inference.engines import ENGINES
from video_rs.inference.precision import precisions_of
from video_rs.models import architecture
from video_rs.runtime.errors import InputError


def network_subjects(
    kind: str, network: str, peers: bool, engines: Sequence[str], clip: Mapping[str, Any]
) -> list[Subject]:
    """Return ours in every way, the best single layer, and the peers.

    The ways of ours are "eager" (sped up), "plain" (default layout, the graph that compilers see), "compiled",
    "accelerate" with an engine, and "checkpointed" (every stage is computed again in the backward pass).

    Args:
        kind: :data:`FORWARD` or :data:`TRAIN`.
        network: ours, one of :func:`video_rs.list_models`.
        peers: whether :data:`PEERS` are among them.
        engines: of ``accelerate``, for forward passes, each in all precisions that it has here.
        clip: batch, frames, size, device and precision of :class:`Subject`.

    Raises:
        InputError: an unknown network.
    """
    architecture(network)
    ways = ["eager", "plain"]
    if clip["device"] == "cuda":
        ways.append("compiled")
    subjects = [Subject(kind, OURS, way, network=network, **clip) for way in ways]

    if kind == FORWARD:
        subjects += [
            Subject(kind, OURS, "accelerate", network=network, engine=engine, **{**clip, "precision": precision})
            for engine in engines
            for precision in engine_precisions(engine, torch.device(clip["device"]))
        ]
    else:
        subjects.append(Subject(kind, OURS, "checkpointed", network=network, **clip))

    subjects.append(Subject(LAYERS, LIMIT, "layers", network=network, **clip))
    if peers:
        subjects += [peer_subject(name, kind, clip) for name in PEERS]
    return subjects


def peer_subject(name: str, kind: str, clip: Mapping[str, Any]) -> Subject:
    """Return a peer at the same clip, or at its own where it takes no other."""
    own_clip = PEERS[name]
    if own_clip is not None:
        frames, size = own_clip
        clip = {**clip, "frames": frames, "size": size}
    return Subject(kind, PEER, "as shipped", network=name, **clip)


def checked_engines(names: Sequence[str] | None) -> list[str]:
    """Return engines of ``accelerate``: ``names``, or all that are installed.

    Raises:
        InputError: one that is unknown or not installed.
    """
    installed = [name for name, engine in ENGINES.items() if not missing(engine.packages)]
    if names is None:
        return installed
    for name in names:
        if name not in installed:
            raise InputError(f"engine is {name!r}; installed here: {', '.join(installed)}")
    return list(names)


def engine_precisions(engine: str, device: torch.device) -> list[str]:
    """Return the precisions in which an engine computes on a device, int8 where NNCF is installed."""
    there = [precision for precision in precisions_of(device) if precision in ENGINES[engine].precisions]
    return [precision for precision in there if precision != "int8" or not missing(["nncf"])]


def gflop_per_clip(subject: Subject) -> float | None:
    """Return the work of one clip: three forward passes for a step of training, whatever is recomputed.

    Returns:
        None for single layers, which have no clip.
    """
    if subject.kind == LAYERS:
        return None
    forward = forward_gflop(subject.network, subject.frames, subject.size)
    return 3 * forward if subject.kind in (TRAIN, LOOP) else forward


def measure_networks(subjects: Sequence[Subject], rounds: int, report: Report) -> list[Row]:
    """Return the rows of a benchmark.

    Raises:
        InputError: a subject that cannot be measured. What its clip or an absent library forbids is found before
            anything is measured.
    """
    work = [gflop_per_clip(subject) for subject in subjects]
    measured = measure(subjects, rounds, report)

    rows = []
    for one, gflop in zip(measured, work, strict=True):
        rows.append(row_of(one, gflop, memory_per_clip_mb=memory_per_clip(one, report)))
    return rows


def memory_per_clip(measured: Measurement, report: Report) -> float | None:
    """Return what one more clip in the batch takes, in MiB, in training ours and the main peer; else None.

    It is the difference between the peaks at four times the batch and at the batch, per clip, both after two calls:
    what a process holds besides (libraries, weights, optimizer) falls out. Where the larger batch cannot be run, most
    likely for want of memory, that is reported.
    """
    subject = measured.subject
    is_asked = subject.kind == TRAIN and (subject.side == OURS or subject.network == MAIN_PEER)
    if not is_asked or measured.warm_memory_mb is None:
        return None

    # Four times, so that what the allocator rounds up is small beside the difference.
    larger = dataclasses.replace(subject, batch=4 * subject.batch)
    try:
        with started([larger], report, f", {larger.batch} clips") as (process,):
            grown = process.warm_memory_mb - measured.warm_memory_mb
    except InputError as error:
        report(f"no memory per clip for {subject.name}: {error}")
        return None
    return grown / (3 * subject.batch)


def network_ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Return ours over plain, over the peer and over the best layer in GFLOP/s; speed and memory of checkpointing."""
    ours = {row.subject.way: row for row in rows if row.subject.side == OURS and row.subject.way != "accelerate"}
    fast = [row for row in rows if row.subject.side == OURS and row.subject.way not in ("plain", "checkpointed")]
    main_peer = [row for row in rows if row.subject.network == MAIN_PEER]
    limit = [row for row in rows if row.subject.kind == LAYERS]

    # Speed first: ways of ours against each other, then against the peer and the limit.
    pairs = []
    for way, other in (("eager", "plain"), ("checkpointed", "eager")):
        if way in ours and other in ours:
            pairs.append((ours[way], ours[other]))
    for row in fast:
        if row.subject.way == "accelerate" and "eager" in ours:
            pairs.append((row, ours["eager"]))
        pairs += [(row, other) for other in (*main_peer, *limit)]
    ratios = {f"{a.subject.name} / {b.subject.name}": a.gflops_per_s / b.gflops_per_s for a, b in pairs}

    # Then memory, of the same batch.
    others = [*(ours[way] for way in ("plain",) if way in ours), *main_peer]
    for way in ("eager", "checkpointed"):
        for other in others:
            if way in ours and _has_memory(ours[way]) and _has_memory(other):
                name = f"memory per clip, {ours[way].subject.name} / {other.subject.name}"
                ratios[name] = ours[way].more["memory_per_clip_mb"] / other.more["memory_per_clip_mb"]
    return ratios


def _has_memory(row: Row) -> bool:
    """Return whether the memory of a clip was measured; below 0 it is noise."""
    memory = row.more.get("memory_per_clip_mb")
    return memory is not None and memory > 0


def best_layer(rows: Sequence[Row]) -> float | None:
    """Return the GFLOP/s of the best single layer."""
    for row in rows:
        if row.subject.kind == LAYERS:
            return row.gflops_per_s
    return None


def network_columns(rows: Sequence[Row]) -> list[Column]:
    """Return the columns of the table."""
    peak = best_layer(rows)

    def share_cell(row: Row) -> str:
        return f"{row.gflops_per_s / peak:.0%}" if peak else ""

    def memory_per_clip_cell(row: Row) -> str:
        memory = row.more.get("memory_per_clip_mb")
        return "" if memory is None else f"{memory:z.0f}"

    return [
        Column("", lambda row: row.subject.name, is_text=True),
        Column("clip", clip_cell),
        Column("GFLOP/clip", lambda row: four_digits(row.gflop_per_clip)),
        Column("clips/s", lambda row: four_digits(row.clips_per_s)),
        Column("GFLOP/s", lambda row: four_digits(row.gflops_per_s)),
        Column("of best layer", share_cell),
        Column("peak MiB", memory_cell),
        Column("MiB/clip", memory_per_clip_cell),
        Column("spread", spread_cell),
    ]
