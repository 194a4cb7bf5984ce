"""Print a script that makes a shell complete commands, options, files and the keys of a configuration.

The script is static: completing starts no Python. Print it again when a new version of video_rs is installed.
"""

import argparse

from video_rs.commands.table import COMMANDS, GROUPS

EXAMPLES = (
    "bash > ~/.local/share/bash-completion/completions/video-rs",
    "zsh > ~/.zfunc/_video-rs",
)
CODES = {0: "printed", 2: "the input was refused: one line says why"}
FILES = ("CKPT", "CHECKPOINT", "FILE", "LIST", "OUT", "OUT.pth", "PNG", "VIDEO")
FOLDERS = ("FOLDER", "VIDEOS")
KEYS = "_video_rs_keys"
"""Name of the shell's function that completes the keys of a configuration."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell that is to read the script")


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    import shtab

    from video_rs.config import OPTIONS

    keys = " ".join(option.key for option in OPTIONS)
    functions = {
        "bash": f"{KEYS}() {{ compgen -W '{keys}' -- \"$1\"; }}",
        "zsh": f"{KEYS}() {{ compadd {keys}; }}",
    }
    print(shtab.complete(whole_parser(), shell=args.shell, preamble=functions))


def whole_parser() -> argparse.ArgumentParser:
    """Return one parser of all commands, in which every argument says what completes it."""
    parser = argparse.ArgumentParser(prog="video-rs")
    commands = parser.add_subparsers()
    groups = {}
    for name, summary in GROUPS.items():
        groups[name] = commands.add_parser(name, help=summary).add_subparsers()

    for command in COMMANDS:
        group, _, name = command.name.rpartition(" ")
        own = groups.get(group, commands).add_parser(name, help=command.summary)
        command.load().add_arguments(own)
        _set_completers(own)
    return parser


def _set_completers(parser: argparse.ArgumentParser) -> None:
    """Say of the arguments of a command what completes them: files, folders or keys."""
    import shtab

    # argparse has no other way to its arguments, which shtab goes, too.
    for action in parser._actions:
        if action.metavar in FILES or action.dest in ("cfg", "list"):
            action.complete = shtab.FILE
        elif action.metavar in FOLDERS:
            action.complete = shtab.DIRECTORY
        elif action.dest == "overrides":
            action.complete = {"bash": KEYS, "zsh": KEYS}
