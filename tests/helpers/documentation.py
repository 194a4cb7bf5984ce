"""The code blocks of README and docs."""

import re
import shlex
from dataclasses import dataclass

from helpers.tools import ROOT

PAGES = [ROOT / "README.md", ROOT / "datasets" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```(?P<language>sh|python)\n(?P<code>.*?)^```$", re.M | re.S
)


@dataclass(frozen=True)
class Block:
    """Code on a page.

    Attributes:
        language: sh or python.
        code: what a reader types.
        reason: why no test runs it; None if one does.
    """

    language: str
    code: str
    reason: str | None


def blocks(path):
    """Return the blocks of a page in their order."""
    found = BLOCK.finditer(path.read_text(encoding="utf-8"))
    return [Block(match["language"], match["code"], match["reason"]) for match in found]


def commands(code):
    """Return the commands of a shell block, each as its words, without comments."""
    lines = code.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def page_name(path):
    """Return the name of a page in the repository."""
    return str(path.relative_to(ROOT))
