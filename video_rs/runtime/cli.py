"""What the command-line tools share: exit codes, and settings of the process."""

import argparse
import contextlib
import errno
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence

from video_rs.runtime.errors import InputError, Stopped
from video_rs.runtime.signals import end_interrupted, interrupts, is_first_process

FAILED, REFUSED, UNREAD, TERMINATED = 1, 2, 141, 143
COMMON_CODES = {130: "interrupted by Ctrl-C", FAILED: "anything else went wrong: a traceback says what"}


def command_line(text: str, examples: Sequence[str], codes: Mapping[int, str]) -> argparse.ArgumentParser:
    """Return a parser whose help has the text, its options, examples and exit codes.

    Args:
        text: paragraphs with a blank line between them, such as the docstring of a tool.
        examples: commands.
        codes: exit code -> when, beside :data:`COMMON_CODES`.
    """
    width = min(100, shutil.get_terminal_size().columns - 2)
    lines = ["examples:", *(f"  {example}" for example in examples), "", "exit codes:"]
    for code, meaning in sorted({**COMMON_CODES, **codes}.items()):
        lines += textwrap.wrap(meaning, width, initial_indent=f"  {code:<5}", subsequent_indent=" " * 7)
    return argparse.ArgumentParser(
        description="\n\n".join(textwrap.fill(part, width) for part in text.strip().split("\n\n")),
        epilog="\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run(main: Callable[[], None]) -> None:
    """Runs ``main`` and exits: 0 done, 2 input refused in one line, 130 interrupted, 143 stopped with state saved, 141
    where whoever read the output has closed it (``| head``).

    Anything else keeps its traceback and exits 1. Under torchrun only rank 0 prints the line.
    """
    interrupts.take()
    interrupts.unwinds = True
    keep_large_blocks()
    if not is_first_process():
        import logging

        logging.getLogger("video_rs").setLevel(logging.ERROR)
    # A file name may hold bytes that are no text; naming it must not end a run.
    sys.stdout.reconfigure(errors="backslashreplace")
    code = 0
    try:
        main()
        sys.stdout.flush()
    except BaseException as error:
        if interrupts.heard or was_interrupted(error):
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            end_interrupted()
        code = UNREAD if _is_unread(error) else told(error)
        if code is None:
            raise
    interrupts.unwinds = False
    if "torch" in sys.modules:
        from video_rs.runtime import distributed

        distributed.leave_process_group()
    sys.exit(code)


def _is_unread(error: BaseException) -> bool:
    """Whether nobody reads stdout any more; what is still to be written goes nowhere then."""
    if not isinstance(error, BrokenPipeError):
        return False
    import select

    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    unread = any(event & select.POLLERR for _, event in poll.poll(0))
    if unread:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return unread


def told(error: BaseException) -> int | None:
    """The exit code of an error that is told in one line, which is printed; None for any other."""
    if isinstance(error, InputError):
        line, code = f"error: {misspelt_override(sys.argv[1:]) or ' '.join(str(error).split())}", REFUSED
    elif isinstance(error, Stopped):
        line, code = f"{error}; continue with --resume", TERMINATED
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" ({error.filename})" if error.filename else ""
        line, code = f"error: {error.strerror}{where}; free the disk and call it again, training with --resume", FAILED
    else:
        return None
    if is_first_process():
        print(line, file=sys.stderr)
    return code


def misspelt_override(arguments: Sequence[str]) -> str:
    """What is wrong with the first argument that sets a config key as ``KEY=VALUE``; empty where none does."""
    from video_rs.config.options import OPTIONS

    keys = {option.key for option in OPTIONS}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key in keys:
            return f"{argument!r} is no KEY VALUE pair; write the value behind a space: {key} {value}"
    return ""


def was_interrupted(error: BaseException | None) -> bool:
    """Whether ``error`` is a Ctrl-C, or comes from one: an import that it breaks off may raise something else."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def keep_large_blocks() -> None:
    """Tells glibc to reuse large blocks instead of returning them to the kernel after every layer.

    The maps of a 3D network are tens of megabytes each, and mapping and clearing them anew costs up to a sixth of
    a step on a CPU. Other allocators are left alone.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    m_trim_threshold, m_mmap_threshold = -1, -3
    mallopt(m_mmap_threshold, 2**30)
    mallopt(m_trim_threshold, 2**31 - 1)
