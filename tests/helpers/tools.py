"""Call a tool as its user does."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class ToolResult:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str
