"""A benchmark's result as text and as ratios."""

from collections.abc import Mapping, Sequence
from typing import Any

PEER = "pytorchvideo slow_r50"
COLUMNS = ("", "clip", "GFLOP/clip", "clips/s", "GFLOP/s", "of best layer", "peak MiB", "MiB/clip", "spread")


def ratios(rows: Sequence[Mapping[str, Any]], network: str) -> dict[str, float]:
    """Ours over plain, over the peer and over the best single layer, in GFLOP/s; memory and time of checkpointing."""
    rate = {row["name"]: row["gflops_per_s"] for row in rows}
    eager, plain, kept = (f"{network} {how}" for how in ("eager", "plain", "checkpointed"))
    pairs = [(eager, plain), (eager, PEER), (kept, eager)]
    pairs += [(name, other) for name in rate if " accelerate " in name for other in (PEER, "best single layer")]
    found = {f"{a} / {b}": rate[a] / rate[b] for a, b in pairs if a in rate and b in rate}
    memory = {row["name"]: row["memory_per_clip_mb"] for row in rows if row["memory_per_clip_mb"]}
    found |= {
        f"memory per clip, {name} / {plain}": memory[name] / memory[plain] for name in (eager, kept) if name in memory
    }
    return found


def table(result: Mapping[str, Any]) -> str:
    """The rows as aligned text, then the ratios and the machine."""
    peak = next((row["gflops_per_s"] for row in result["rows"] if not row["clips_per_s"]), None)
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
    text += ["", f"{', '.join(parts)}, torch {machine['torch']}"]
    return "\n".join(text)


def cells(row: Mapping[str, Any], peak: float | None) -> tuple[str, ...]:
    """One line of the table."""
    subject = row["subject"]
    clip = f"{subject['batch']} x {subject['frames']} x {subject['size']}" if row["clips_per_s"] else ""
    share = f"{row['gflops_per_s'] / peak:.0%}" if peak else ""
    numbers = [(row["gflop_per_clip"], ".1f"), (row["clips_per_s"], ".3f"), (row["gflops_per_s"], ".1f")]
    memory = [(row["peak_memory_mb"], ".0f"), (row["memory_per_clip_mb"], ".0f")]
    text = [format(value, how) if value is not None else "" for value, how in (*numbers, *memory)]
    return (row["name"], clip, *text[:3], share, *text[3:], f"{row['spread']:.0%}")
