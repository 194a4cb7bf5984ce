"""The parser of a command: its help has the text, the arguments with their defaults, examples and exit codes."""

import argparse
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType

from video_rs.runtime.cli import FAILED
from video_rs.runtime.signals import INTERRUPTED

COMMON_CODES = {
    INTERRUPTED: "interrupted by Ctrl-C",
    FAILED: "anything else went wrong: a traceback says what",
}
INDENT = 7  # of the meaning of an exit code


def build_parser(module: ModuleType, program: str) -> argparse.ArgumentParser:
    """Return the parser of a command.

    Args:
        module: of the command.
        program: what the user typed to call the command.
    """
    width = min(100, shutil.get_terminal_size().columns - 2)
    parser = argparse.ArgumentParser(
        prog=program,
        description=_wrapped_paragraphs(module.__doc__, width),
        epilog="\n".join([*_example_lines(module.EXAMPLES, program), "", *_code_lines(module.CODES, width)]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
