"""Which room may import which: the arrows of docs/design.md, read from the source. There are no circles."""

import ast
import re
from pathlib import Path

import pytest

from helpers.tools import ROOT

PACKAGE = ROOT / "video_rs"

# Of each room, the rooms that it may import beside its own and runtime/.
MAY_IMPORT = {
    "runtime": set(),
    "config": set(),
    "video": set(),
    "models": set(),
    "reports": set(),
    "engine": set(),
    "evaluation": set(),
    "lists": {"video"},
    "data": {"lists", "video"},
    "curation": {"lists", "video", "reports"},
    "builders": {"config", "lists", "video", "data", "models", "engine"},
    "inference": {"lists", "video", "data", "models", "engine"},
    "benchmarks": {"lists", "video", "data", "curation", "models", "engine", "inference"},
    "runs": {
        "config",
        "lists",
        "video",
        "data",
        "curation",
        "models",
        "engine",
        "evaluation",
        "builders",
        "inference",
        "reports",
    },
}
MAY_IMPORT["studies"] = set(MAY_IMPORT)
MAY_IMPORT["commands"] = set(MAY_IMPORT)


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


def imports_of(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of the package that a module imports, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else node.module)
    return {name for name in found if name in known}


def room_of(name: str) -> str:
    """``engine`` for ``video_rs.engine.step``; "" for the package itself."""
    return [*name.split("."), ""][1]


MODULES = modules()
IMPORTS = {name: imports_of(path, MODULES) for name, path in MODULES.items()}


def test_every_room_is_in_the_table():
    rooms = {room_of(name) for name in MODULES} - {"", "configs", "__main__"}
    assert rooms == set(MAY_IMPORT)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_lies_below_it(room):
    allowed = MAY_IMPORT[room] | {room, "runtime", ""}
    wrong = []
    for name, imported in IMPORTS.items():
        if room_of(name) == room:
            wrong += [f"{name} -> {other}" for other in imported if room_of(other) not in allowed]
    assert wrong == []


def test_no_room_lies_above_itself():
    """Taken away from the bottom up, all rooms go: there is no circle among them."""
    left = dict(MAY_IMPORT)
    left["commands"] = left["commands"] - {"commands"}
    while left:
        lowest = {room for room, below in left.items() if not below & set(left) - {room}}
        assert lowest, f"a circle among {sorted(left)}"
        left = {room: below for room, below in left.items() if room not in lowest}


def test_no_modules_import_each_other_in_a_circle():
    """A package's ``__init__`` gathers its modules, which may not import the package itself in turn."""
    left = {name: set(imported) - {name} for name, imported in IMPORTS.items()}
    while left:
        lowest = {name for name, imported in left.items() if not imported & set(left)}
        if not lowest:
            break
        left = {name: imported for name, imported in left.items() if name not in lowest}
    circle = {name: sorted(imported & set(left)) for name, imported in left.items()}
    assert circle == {}


def test_the_readme_names_the_same_rooms():
    everything = set(MAY_IMPORT)
    stated = {}
    for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines():
        row = re.fullmatch(r"\| `(\w+)/` \|.*\|([^|]*)\|", line)
        if row is None or row[1] not in MAY_IMPORT:
            continue
        named = set(re.findall(r"`(\w+)`", row[2]))
        if row[2].strip().startswith("all rooms"):
            named = everything - named - {row[1], "runtime"}
        stated[row[1]] = named
    assert stated == {room: below - {room, "runtime"} for room, below in MAY_IMPORT.items()}
