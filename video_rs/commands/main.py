"""Find the command that was called, and run it: ``video-rs COMMAND``, or a script of ``tools/`` and ``datasets/``."""

import sys
from collections.abc import Sequence
from pathlib import Path

from video_rs.commands.overrides import misspelt_override
from video_rs.commands.parser import build_parser
from video_rs.commands.table import COMMANDS, GROUPS, Command, command
from video_rs.runtime import cli
from video_rs.runtime.errors import InputError
from video_rs.runtime.version import __version__
from video_rs.runtime.wording import nearest

HELP = ("-h", "--help")


def main() -> None:
    """Run ``video-rs``: the command that the arguments name."""
    program = "video-rs"
    if Path(sys.argv[0]).name == "__main__.py":
        program = "python -m video_rs"
    cli.run(lambda: run_named(program, sys.argv[1:]), misspelt_override)


def run_script(name: str) -> None:
    """Run a command, or a group of commands, from a script of its own, with the script's arguments."""
    program = f"python {sys.argv[0]}"
    arguments = sys.argv[1:]
    if name in GROUPS:
        cli.run(lambda: run_named(program, arguments, group=name), misspelt_override)
    else:
        cli.run(lambda: run_command(command(name), program, arguments), misspelt_override)


def run_command(called: Command, program: str, arguments: Sequence[str]) -> None:
    """Parse the arguments of a command and run it.

    Args:
        called: the command.
        program: what the user typed before the arguments.
        arguments: of the command.
    """
    module = called.load()
    parser = build_parser(module, program)
    args = parser.parse_intermixed_args(arguments)
    module.run(args)


def run_named(program: str, arguments: Sequence[str], group: str = "") -> None:
    """Run the command that the first argument names, or print what commands there are.

    Args:
        program: what the user typed before the arguments.
        arguments: a command's name and its own arguments.
        group: the group that the command belongs to; empty where the first argument may name a group.

    Raises:
        InputError: there is no such command.
    """
    name, *rest = arguments or ["--help"]
    if name in HELP:
        print(overview(program, group))
    elif group == "" and name in GROUPS:
        run_named(f"{program} {name}", rest, group=name)
    elif group == "" and name == "--version":
        print(__version__)
    else:
        called = _find_command(program, group, name)
        run_command(called, f"{program} {name}", rest)


def overview(program: str, group: str = "") -> str:
    """Return the commands of a group, or of all of ``video-rs``, each with a line about it."""
    rows = [(_name_within(shown, group), shown.summary) for shown in _commands_of(group)]
    width = max(len(name) for name, _ in rows)
    text = GROUPS[group] if group else "Video classification with 3D ResNet-RS."

    lines = [f"usage: {program} COMMAND ...", "", text, ""]
    for name, summary in rows:
        lines.append(f"  {name:{width}}  {summary}")
    lines += ["", f"{program} COMMAND --help has the arguments, examples and exit codes of a command."]
    return "\n".join(lines)


def _find_command(program: str, group: str, name: str) -> Command:
    """Return a command by its name within a group.

    Raises:
        InputError: there is none of that name; the message has the name that is most like it.
    """
    choices = {}
    for known in _commands_of(group):
        choices[_name_within(known, group)] = known
    if name in choices:
        return choices[name]

    groups = [] if group else list(GROUPS)
    near = nearest(name.replace("-", "_"), [*choices, *groups])
    hint = f"did you mean {near!r}? " if near else ""
    raise InputError(f"no command {name}; {hint}{program} --help lists them")


def _commands_of(group: str) -> list[Command]:
    """Return the commands of a group; all commands for no group."""
    if not group:
        return list(COMMANDS)
    return [known for known in COMMANDS if known.name.startswith(f"{group} ")]


def _name_within(known: Command, group: str) -> str:
    """Return a command's name without that of its group."""
    return known.name.removeprefix(f"{group} ") if group else known.name
