"""The one table of all benchmarks: aligned rows, the ratios, some lines, the machine."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from video_rs.benchmarks.measuring import Row


class Column(NamedTuple):
    """A column of the table.

    Attributes:
        title: its head.
        cell: a row -> its text.
        is_text: whether it is aligned to the left.
    """

    title: str
    cell: Callable[[Row], str]
    is_text: bool = False


def table(
    rows: Sequence[Row],
    columns: Sequence[Column],
    ratios: Mapping[str, float],
    lines: Sequence[str],
    machine: Mapping[str, Any],
) -> str:
    """Return a benchmark's result as text.

    Args:
        rows: of the table.
        columns: of the table.
        ratios: printed below it, with three digits behind the point.
        lines: printed below the ratios.
        machine: of :func:`video_rs.benchmarks.machine.describe_machine`.
    """
    cells = [[column.title for column in columns]]
    for row in rows:
        cells.append([column.cell(row) for column in columns])
    widths = [max(map(len, texts)) for texts in zip(*cells, strict=True)]

    text = [_aligned(line, columns, widths) for line in cells]
    text.append("")
    text += [f"{value:6.3f}  {name}" for name, value in ratios.items()]
    text += lines
    text += ["", machine_line(machine)]
    return "\n".join(text)


def markdown_table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Return rows as a table in Markdown."""
    lines = [
        [column.title for column in columns],
        ["---" if column.is_text else "---:" for column in columns],
    ]
    for row in rows:
        lines.append([column.cell(row) for column in columns])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _aligned(line: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    parts = []
    for text, column, width in zip(line, columns, widths, strict=True):
        parts.append(text.ljust(width) if column.is_text else text.rjust(width))
    return "  ".join(parts)


def machine_line(machine: Mapping[str, Any]) -> str:
    """Return what the numbers were measured on."""
    processor = machine["gpu"] or machine["processor"]
    return f"{processor}, {machine['cores']} cores, {machine['capability']}, torch {machine['torch']}"


def clip_cell(row: Row) -> str:
    """Return batch x frames x size; single layers have no clip."""
    if row.clips_per_s is None:
        return ""
    return f"{row.subject.batch} x {row.subject.frames} x {row.subject.size}"


def memory_cell(row: Row) -> str:
    """Return the peak memory in MiB, where it is known."""
    return "" if row.peak_memory_mb is None else f"{row.peak_memory_mb:.0f}"


def spread_cell(row: Row) -> str:
    """Return the spread as per cents."""
    return f"{row.spread:.0%}"


def four_digits(value: float | None) -> str:
    """Return four digits that count, for a thousandth of a GFLOP as for a GPU's thousands; "" for None."""
    if value is None:
        return ""
    return f"{value:.4g}" if value < 9999.5 else f"{value:.0f}"
