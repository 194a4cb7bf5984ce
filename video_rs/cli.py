"""What the command-line tools share: exit codes, signals, and settings of the process."""

import contextlib
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import NoReturn

from video_rs.errors import InputError

REFUSED, INTERRUPTED, TERMINATED = 2, 130, 143


def run(main: Callable[[], None]) -> None:
    """Runs ``main`` and exits: 0 done, 2 input refused in one line, 130 interrupted, 143 stopped with state saved.

    Anything else keeps its traceback and exits 1. Under torchrun only rank 0 prints the line.
    """
    keep_large_blocks()
    if not is_first_process():
        logging.getLogger("video_rs").setLevel(logging.ERROR)
    # A file name may hold bytes that are no text; naming it must not end a run.
    sys.stdout.reconfigure(errors="backslashreplace")
    code = 0
    try:
        main()
    except BaseException as error:
        if was_interrupted(error):
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            end_interrupted()
        code = told(error)
        if code is None:
            raise
    if "torch" in sys.modules:
        from video_rs.engine import distributed

        distributed.stop()
    sys.exit(code)


def told(error: BaseException) -> int | None:
    """The exit code of an error that is told in one line, which is printed; None for any other."""
    if isinstance(error, InputError):
        line, code = f"error: {misspelt_override(sys.argv[1:]) or ' '.join(str(error).split())}", REFUSED
    elif isinstance(error, Exception) and _is_stop(error):
        line, code = f"{error}; continue with --resume", TERMINATED
    else:
        return None
    if is_first_process():
        print(line, file=sys.stderr)
    return code


def _is_stop(error: Exception) -> bool:
    from video_rs.engine.loop import Stopped  # not at the top: it brings torch, which takes seconds

    return isinstance(error, Stopped)


def misspelt_override(arguments: Sequence[str]) -> str:
    """What is wrong with the first argument that sets a config key as ``KEY=VALUE``; empty where none does."""
    from video_rs.options import OPTIONS

    keys = {option.key for option in OPTIONS}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if equals and key in keys:
            return f"{argument!r} is no KEY VALUE pair; write the value behind a space: {key} {value}"
    return ""


def is_first_process() -> bool:
    """Whether this is rank 0, or the only process."""
    return os.environ.get("RANK", "0") == "0"


def was_interrupted(error: BaseException | None) -> bool:
    """Whether ``error`` is a Ctrl-C, or comes from one: an import that it breaks off may raise something else."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def end_interrupted() -> NoReturn:
    """Says so and ends the process at once, whatever its threads do or wait for; its reading processes end with it."""
    tell_at_once("interrupted")
    os._exit(INTERRUPTED)


def tell_at_once(text: str) -> None:
    """A line on stderr, of rank 0, past all buffers and locks; on a terminal it leaves the line of a progress bar."""
    if is_first_process():
        with contextlib.suppress(OSError):
            os.write(2, ("\n" * os.isatty(2) + text + "\n").encode())


class StopSignals:
    """SIGTERM and the first Ctrl-C ask for a stop, and are answered at once; a second Ctrl-C ends the process.

    A thread takes them: the main one runs no handlers within a long operation, or while it waits for another process.

    Attributes:
        asked: whether to stop.
    """

    KINDS = (signal.SIGTERM, signal.SIGINT)
    ANSWER = "stopping after this step and saving"

    def __init__(self):
        self.asked = False

    def start(self) -> None:
        """Takes the signals, from the main thread, until :meth:`close`."""
        self.ear, self.bell = socket.socketpair()
        self.bell.setblocking(False)
        self.former_bell = signal.set_wakeup_fd(self.bell.fileno(), warn_on_full_buffer=False)
        self.former = {kind: signal.signal(kind, self._ask) for kind in self.KINDS}
        self.thread = threading.Thread(target=self._answer, daemon=True, name="video_rs signals")
        self.thread.start()

    def close(self) -> None:
        """Gives the signals back to whom they were taken from."""
        for kind, handler in self.former.items():
            signal.signal(kind, handler)
        signal.set_wakeup_fd(self.former_bell)
        self.bell.close()
        self.thread.join()
        self.ear.close()

    def _ask(self, *_) -> None:
        self.asked = True

    def _answer(self) -> None:
        seen = []
        while byte := self.ear.recv(1):
            kind = byte[0]
            if kind == signal.SIGINT and kind in seen:
                end_interrupted()
            if kind == signal.SIGINT:
                tell_at_once(f"{self.ANSWER}; press Ctrl-C again to stop at once without saving")
            elif kind == signal.SIGTERM and not seen:
                tell_at_once(self.ANSWER)
            seen += [kind] * (kind in self.KINDS)


def keep_large_blocks() -> None:
    """Tells glibc to reuse large blocks instead of returning them to the kernel after every layer.

    The maps of a 3D network are tens of megabytes each, and mapping and clearing them anew costs up to a sixth of
    a step on a CPU. Other allocators are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    m_trim_threshold, m_mmap_threshold = -1, -3
    mallopt(m_mmap_threshold, 2**30)
    mallopt(m_trim_threshold, 2**31 - 1)
