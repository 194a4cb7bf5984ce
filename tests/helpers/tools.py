"""Call a tool as its user does."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


def script(name):
    """Return the path of a command's script, which lies in ``tools`` or in ``datasets``."""
    path = ROOT / "tools" / f"{name}.py"
    if not path.exists():
        path = ROOT / "datasets" / f"{name}.py"
    return path


@dataclass(frozen=True)
class ToolResult:
    """Exit code and what was printed."""

    code: int
    out: str
    err: str
