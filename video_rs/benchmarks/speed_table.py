"""A benchmark's result as text and as ratios."""

from collections.abc import Mapping, Sequence
from typing import Any

from video_rs.benchmarks.subjects import BEST_LAYER, PEER

COLUMNS = ("", "clip", "GFLOP/clip", "clips/s", "GFLOP/s", "of best layer", "peak MiB", "MiB/clip", "spread")
Row = Mapping[str, Any]


def ratios(rows: Sequence[Row], network: str) -> dict[str, float]:
    """Ours over plain, over the peer and over the best single layer, in GFLOP/s; speed and memory of checkpointing."""
    rate = {row["name"]: row["gflops_per_s"] for row in rows}
    eager, plain, kept = (f"{network} {how}" for how in ("eager", "plain", "checkpointed"))
    slow = ("plain", "checkpointed", "layers")
    fast = [r["name"] for r in rows if r["subject"]["network"] == network and r["subject"]["how"] not in slow]
    pairs = [(eager, plain), (kept, eager), *((name, other) for name in fast for other in (PEER, BEST_LAYER))]
    memory = {row["name"]: row["memory_per_clip_mb"] for row in rows if (row["memory_per_clip_mb"] or 0) > 0}
    memory_pairs = [(name, other) for name in (eager, kept) for other in (plain, PEER)]
    return {f"{a} / {b}": rate[a] / rate[b] for a, b in pairs if a in rate and b in rate} | {
        f"memory per clip, {a} / {b}": memory[a] / memory[b] for a, b in memory_pairs if a in memory and b in memory
    }


def best_layer(rows: Sequence[Row]) -> float | None:
    """GFLOP/s of the best single layer."""
    return next((row["gflops_per_s"] for row in rows if row["name"] == BEST_LAYER), None)


def table(result: Mapping[str, Any]) -> str:
    """The rows as aligned text, then the ratios and the machine."""
    peak = best_layer(result["rows"])
    lines = [COLUMNS, *(cells(row, peak) for row in result["rows"])]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    text = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
    text += ["", *(f"{value:6.3f}  {name}" for name, value in result["ratios"].items())]
    if "create_seconds" in result:
        text.append(f"{result['create_seconds']:6.3f}  seconds to import video_rs and create the network")
    machine = result["machine"]
    parts = (machine["gpu"] or machine["processor"], f"{machine['cores']} cores", machine["capability"])
    return "\n".join([*text, "", f"{', '.join(parts)}, torch {machine['torch']}"])


def cells(row: Row, peak: float | None) -> tuple[str, ...]:
    """One line of the table; a clip is batch x frames x size, and single layers have none."""
    subject = row["subject"]
    clip = f"{subject['batch']} x {subject['frames']} x {subject['size']}" if row["clips_per_s"] else ""
    share = f"{row['gflops_per_s'] / peak:.0%}" if peak else ""
    speed = [digits(row[key]) for key in ("gflop_per_clip", "clips_per_s", "gflops_per_s")]
    memory = ["" if row[key] is None else f"{row[key]:z.0f}" for key in ("peak_memory_mb", "memory_per_clip_mb")]
    return (row["name"], clip, *speed, share, *memory, f"{row['spread']:.0%}")


def digits(value: float | None) -> str:
    """Four of them that count, whether it is a network of thousandths of a GFLOP or a GPU; "" for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if value < 9999.5 else f"{value:.0f}"
