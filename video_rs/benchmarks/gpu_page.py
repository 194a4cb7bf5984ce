"""The page with a GPU's numbers: what stands between two comments in it is replaced."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from video_rs.benchmarks.gpu_benchmark import GPU_COLUMNS, Results, gpu_lines, gpu_ratios
from video_rs.benchmarks.table import machine_line, markdown_table
from video_rs.runtime.atomic import replace_text
from video_rs.runtime.errors import InputError

BEGIN = "<!-- written by video-rs benchmark gpu -->"
END = "<!-- end of what is written -->"


def require_place(page: Path) -> None:
    """Raise InputError unless a page has one place for the numbers."""
    try:
        _parts(page)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise InputError(
            f"--markdown {page}: the file has no place for the numbers; allowed: a text with the lines {BEGIN} and "
            f"{END}, once each and in this order"
        ) from error


def write_page(page: Path, results: Results, machine: Mapping[str, Any]) -> None:
    """Write what is known into its place; the rest of the page stays."""
    before, after = _parts(page)
    lines = gpu_lines(results)
    for name, ratio in gpu_ratios(results.rows).items():
        lines.append(f"{name}: {ratio:.2f}")
    listed = "\n".join(f"- {line}" for line in lines)

    text = f"{_machine(machine)}:\n\n{markdown_table(results.rows, GPU_COLUMNS)}\n\n{listed}"
    replace_text(page, f"{before}{BEGIN}\n{text}\n{END}{after}")


def _machine(machine: Mapping[str, Any]) -> str:
    """Return what was measured on; the version of cuDNN belongs to a GPU's numbers."""
    library = f", cuDNN {machine['cudnn']}" if machine["cudnn"] else ""
    return f"{machine_line(machine)}{library}"


def _parts(page: Path) -> tuple[str, str]:
    """Return the page before and after its place; ValueError where it has none, or more than one."""
    before, old = _cut(page.read_text(encoding="utf-8"), BEGIN)
    _, after = _cut(old, END)
    return before, after


def _cut(text: str, mark: str) -> tuple[str, str]:
    """Return what stands before and after a mark that is there once."""
    before, after = text.split(mark)
    return before, after
