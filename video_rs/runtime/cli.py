"""How a command ends: its exit codes, and the one line that a user reads in the place of a traceback."""

import contextlib
import errno
import os
import select
import sys
from collections.abc import Callable, Sequence

from video_rs.runtime.allocator import keep_large_blocks
from video_rs.runtime.errors import CheckFailed, InputError, Stopped
from video_rs.runtime.signals import TERMINATED, exit_interrupted, interrupts, is_first_process

FAILED = 1
REFUSED = 2
OUTPUT_CLOSED = 141
UNUSABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG)
"""Numbers of errors that say of a path that nothing can be written, or read, there."""

Hint = Callable[[Sequence[str]], str]
"""Returns what is wrong with the arguments of a command whose input was refused, or nothing if it cannot tell."""


def run(main: Callable[[], None], hint: Hint | None = None) -> None:
    """Run a command and exit with the code that says how it ended.

    The codes are 0: done; 2: input refused, said in one line; 130: interrupted; 143: stopped with the state saved; 141:
    whoever read the output has closed it (``| head``). Any other error keeps its traceback and exits with 1. Under
    torchrun only rank 0 prints the line.

    Args:
        main: the command.
        hint: looks for a mistake in the command line itself, which is then said instead of the error.
    """
    interrupts.start()
    interrupts.job_running = True
    keep_large_blocks()
    _quieten_other_ranks()
    # A file name may hold bytes that are no text; naming it must not end a run.
    sys.stdout.reconfigure(errors="backslashreplace")

    code = 0
    try:
        main()
        sys.stdout.flush()
    except BaseException as error:
        if interrupts.received or was_interrupted(error):
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            exit_interrupted()
        code = OUTPUT_CLOSED if _output_is_closed(error) else report(error, hint)
        if code is None:
            raise

    interrupts.job_running = False
    if "torch" in sys.modules:
        from video_rs.runtime import distributed

        distributed.leave_process_group()
    sys.exit(code)


def report(error: BaseException, hint: Hint | None = None) -> int | None:
    """Print the line about an error that needs no traceback.

    Returns:
        The exit code, or None for an error that does need a traceback; nothing is printed then.
    """
    if isinstance(error, InputError):
        # Whatever was refused, a mistake in the command line itself is the likelier reason.
        mistake = hint(sys.argv[1:]) if hint else ""
        reason = mistake or " ".join(str(error).split())
        line = f"error: {reason}"
        code = REFUSED
    elif isinstance(error, CheckFailed):
        line = f"error: {error}"
        code = FAILED
    elif isinstance(error, Stopped):
        line = f"{error}; {error.next_step}"
        code = TERMINATED
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = f" ({error.filename})" if error.filename else ""
        line = f"error: {error.strerror}{where}; free the disk and call it again, training with --resume"
        code = FAILED
    elif isinstance(error, OSError) and error.errno in UNUSABLE and error.filename:
        line = f"error: {os.fsdecode(error.filename)}: {error.strerror}; give another path, or mend that one"
        code = REFUSED
    else:
        return None

    if is_first_process():
        print(line, file=sys.stderr)
    return code


def was_interrupted(error: BaseException | None) -> bool:
    """Return whether an error is a Ctrl-C, or comes from one: an import that is broken off may raise something else."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _quieten_other_ranks() -> None:
    if is_first_process():
        return
    import logging

    logging.getLogger("video_rs").setLevel(logging.ERROR)


def _output_is_closed(error: BaseException) -> bool:
    """Return whether nobody reads stdout any more; discard what is still to be written then."""
    if not isinstance(error, BrokenPipeError):
        return False

    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    closed = any(event & select.POLLERR for _, event in poll.poll(0))
    if closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return closed
