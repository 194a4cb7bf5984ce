"""Find the command that was called, and run it: ``video-rs COMMAND``, or a script of ``tools/`` and ``datasets/``."""

import sys
from collections.abc import Sequence
from pathlib import Path

from video_rs import __version__
from video_rs.commands.overrides import misspelt_override
from video_rs.commands.parser import build_parser
from video_rs.commands.table import COMMANDS, GROUPS, Command, command
from video_rs.runtime import cli
from video_rs.runtime.errors import InputError
from video_rs.runtime.wording import nearest

HELP = ("-h", "--help")


def main() -> None:
    """Run ``video-rs``: the command that the arguments name."""
    program = "video-rs"
    if Path(sys.argv[0]).name == "__main__.py":
        program = "python -m video_rs"
    cli.run(lambda: run_named(program, sys.argv[1:]), misspelt_override)


def run_script(name: str) -> None:
    """Run a command from a script of its own, with the script's arguments."""
    cli.run(lambda: run_command(command(name), f"python {sys.argv[0]}", sys.argv[1:]), misspelt_override)


def run_command(called: Command, program: str, arguments: Sequence[str]) -> None:
    """Parse the arguments of a command and run it."""
    module = called.load()
    parser = build_parser(module, program)
    args = parser.parse_intermixed_args(arguments)
    module.run(args)


def run_named(program: str, arguments: Sequence[str]) -> None:
    """Run the command that the first arguments name, or print what commands there are.

    Args:
        program: what the user typed before the arguments.
        arguments: a command's name and its own arguments.

    Raises:
        InputError: there is no such command.
    """
    words = list(arguments)
    name = words.pop(0) if words else HELP[0]
    group = ""

    if name in GROUPS:
        group = name
        name = words.pop(0) if words else HELP[0]
    if name in HELP:
        print(overview(program, group))
        return
    if name == "--version":
        print(__version__)
        return

    full_name = f"{group} {name}".strip()
    known = [command.name for command in COMMANDS]
    if full_name not in known:
        raise InputError(_unknown_command(program, group, name))
    run_command(command(full_name), f"{program} {full_name}", words)


def overview(program: str, group: str = "") -> str:
    """Return the commands of a group, or of all of ``video-rs``, each with a line about it."""
    start = f"{group} " if group else ""
    rows = []
    for shown in COMMANDS:
        if shown.name.startswith(start):
            rows.append((shown.name.removeprefix(start), shown.summary))

    width = max(len(name) for name, _ in rows)
    text = GROUPS[group] if group else "Video classification with 3D ResNet-RS."
    lines = [f"usage: {program} {start}COMMAND ...", "", text, ""]
    for name, summary in rows:
        lines.append(f"  {name:{width}}  {summary}")
    lines += ["", f"{program} {start}COMMAND --help has the arguments, examples and exit codes of a command."]
    return "\n".join(lines)


def _unknown_command(program: str, group: str, name: str) -> str:
    """Return what is wrong with a command's name, and the name that is most like it."""
    start = f"{group} " if group else ""
    choices = list(GROUPS) if not group else []
    for known in COMMANDS:
        if known.name.startswith(start):
            choices.append(known.name.removeprefix(start))

    near = nearest(name.replace("-", "_"), choices)
    hint = f"did you mean {near!r}? " if near else ""
    return f"no command {start}{name}; {hint}{program} {start}--help lists them"
