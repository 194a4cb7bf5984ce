"""The numbers at the head of a report as text: tiles for accuracies and counts, a table for everything else."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

ACCURACIES = {"map", "map_all", "top1", "top1_all", "topk", "k"}
COUNTS = {"videos": "Videos", "failed": "Failed videos"}


class Tile(NamedTuple):
    """One number of the summary, as text."""

    name: str
    value: str


def tiles(summary: Mapping[str, Any]) -> list[Tile]:
    """Return accuracies and counts, in the order of the page.

    Args:
        summary: see :class:`video_rs.reports.html.Report`.
    """
    shown = []
    for key, name in _accuracy_names(summary).items():
        if key in summary:
            shown.append(Tile(name, percent(summary[key])))
    for key, name in COUNTS.items():
        if key in summary:
            shown.append(Tile(name, _text(summary[key])))
    return shown


def _accuracy_names(summary: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of the accuracies: where videos failed, two ways to count them stand side by side."""
    if summary.get("failed"):
        names = {
            "map": "mAP, readable videos",
            "map_all": "mAP, failed are not found",
            "top1": "Top-1, readable videos",
            "top1_all": "Top-1, failed count as wrong",
        }
    else:
        names = {"map": "Mean average precision", "top1": "Top-1 accuracy"}

    k = summary.get("k")
    if k is None:
        names["topk"] = "Top-k accuracy"
    elif k != 1:
        names["topk"] = f"Top-{k} accuracy"
    return names


def facts(summary: Mapping[str, Any]) -> list[Tile]:
    """Return everything that is neither an accuracy nor a count, in the order of ``summary``."""
    shown = []
    for key, value in summary.items():
        if key in ACCURACIES or key in COUNTS:
            continue
        if key == "seconds" and isinstance(value, int | float):
            shown.append(Tile("Time", _duration(value)))
        else:
            name = key[:1].upper() + key[1:].replace("_", " ")
            shown.append(Tile(name, _text(value)))
    return shown


def percent(share: float | None) -> str:
    """Return a share in [0, 1] as text in per cent."""
    if isinstance(share, int | float) and math.isfinite(share):
        return f"{100 * share:.2f} %"
    return "not known"


def _text(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    if minutes:
        return f"{minutes} min {rest} s"
    return f"{seconds:.1f} s"
