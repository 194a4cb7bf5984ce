"""The parser of a command: its help has the text, the arguments with their defaults, examples and exit codes."""

import argparse
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import NoReturn

from video_rs.runtime.cli import FAILED
from video_rs.runtime.errors import InputError
from video_rs.runtime.signals import INTERRUPTED

COMMON_CODES = {
    INTERRUPTED: "interrupted by Ctrl-C",
    FAILED: "anything else went wrong: a traceback says what",
}
INDENT = 7  # of the meaning of an exit code


class Parser(argparse.ArgumentParser):
    """A parser that refuses arguments in one line, as everything else is refused."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; {self.prog} --help shows what is allowed")

    def parse_intermixed_args(self, args=None, namespace=None):
        for action in self._actions:
            if isinstance(action, StoreOnce):
                action.is_stored = False
        return super().parse_intermixed_args(args, namespace)


class StoreOnce(argparse.Action):
    """Keeps the value of an option, which may stand there once: of two values one would be dropped in silence."""

    is_stored = False

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        if option_string is not None and self.is_stored:
            raise argparse.ArgumentError(self, "is given twice, and only one value counts; give it once")
        # Of a variable of the shell that is not set; a place that may be left out has its default here.
        is_left_out = option_string is None and values == self.default
        if values == "" and not is_left_out:
            raise argparse.ArgumentError(self, "is empty; give a value, or leave it out where that is allowed")
        self.is_stored = True
        setattr(namespace, self.dest, values)


def build_parser(module: ModuleType, program: str) -> argparse.ArgumentParser:
    """Return the parser of a command.

    Args:
        module: of the command.
        program: what the user typed to call the command.
    """
    width = min(100, shutil.get_terminal_size().columns - 2)
    parser = Parser(
        prog=program,
        description=_wrapped_paragraphs(module.__doc__, width),
        epilog="\n".join([*_example_lines(module.EXAMPLES, program), "", *_code_lines(module.CODES, width)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name in (None, "store"):
        parser.register("action", name, StoreOnce)
    module.add_arguments(parser)
    return parser


def _wrapped_paragraphs(text: str, width: int) -> str:
    paragraphs = text.strip().split("\n\n")
    return "\n\n".join(textwrap.fill(paragraph, width) for paragraph in paragraphs)


def _example_lines(examples: Sequence[str], program: str) -> Iterator[str]:
    yield "examples:"
    for arguments in examples:
        yield f"  {program} {arguments}".rstrip()


def _code_lines(codes: Mapping[int, str], width: int) -> Iterator[str]:
    """Yield the exit codes with their meanings; those of the command come before what all commands share."""
    yield "exit codes:"
    for code, meaning in sorted({**COMMON_CODES, **codes}.items()):
        start = f"  {code}".ljust(INDENT)
        yield from textwrap.wrap(meaning, width, initial_indent=start, subsequent_indent=" " * INDENT)
