"""How a process is asked to stop, and how the process answers without waiting for buffers, locks or the main thread."""

import contextlib
import os
import select
import signal
import socket
import stat
import sys
import threading
from collections.abc import Iterator
from typing import NoReturn

from video_rs.runtime.unfinished import remove_unfinished_files

INTERRUPTED = 130
"""Exit code after a Ctrl-C."""
TERMINATED = 143
"""Exit code after SIGTERM or SIGHUP."""
HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none
STOPPING = [signal.SIGTERM, signal.SIGINT]
"""The signals that ask a process to stop."""
if HANG_UP is not None:
    STOPPING.append(HANG_UP)
GRACE = 3.0  # seconds in which an interrupted job may put away what it has begun


def is_first_process() -> bool:
    """Return whether this process is rank 0, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def print_now(text: str) -> None:
    """Write a line to stderr, from rank 0 only, without waiting for a buffer or a lock."""
    if not is_first_process():
        return
    # On a terminal the cursor may stand behind a progress bar.
    start = "\n" if os.isatty(2) else ""
    with contextlib.suppress(OSError):
        os.write(2, f"{start}{text}\n".encode())


def silence_stderr() -> None:
    """Discard whatever is still written to stderr: after the last line, no library adds a traceback."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def leave_terminal() -> None:
    """Discard output that would go to a terminal, which refuses it once closed. Output to files and pipes stays."""
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


def exit_interrupted() -> NoReturn:
    """Say that the process was interrupted and end it at once, whatever its threads do or wait for.

    Its worker processes end with it. Files that another thread has begun to write are removed.
    """
    interrupts.announce()
    remove_unfinished_files()
    os._exit(INTERRUPTED)


def end_on_signals() -> None:
    """End the command on SIGTERM and SIGHUP as on an error: its processes are ended on the way out.

    SIGHUP, which a terminal sends when it is closed, stays ignored where it is (``nohup``). Another thread than the
    main one may not set handlers, and changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for kind in STOPPING:
        if kind != signal.SIGINT and signal.getsignal(kind) is not signal.SIG_IGN:
            signal.signal(kind, lambda *_: sys.exit(TERMINATED))


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Put the handlers of the signals that ask for a stop back at the end, where this is the main thread."""
    handlers = {kind: signal.getsignal(kind) for kind in STOPPING}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for kind, handler in handlers.items():
                signal.signal(kind, handler)


class SignalNumbers:
    """The numbers of the signals that arrive, for a thread to wait for.

    The main thread runs no signal handler within a long operation, or while it waits for another process. Python
    writes the number of every signal that has a handler to this object's socket the moment it arrives.
    """

    def __init__(self):
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._former = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)

    def next(self, seconds: float | None = None) -> int | None:
        """Return the next signal's number, or None once :meth:`close` was called or ``seconds`` have passed."""
        readable, _, _ = select.select([self._receiver], [], [], seconds)
        if not readable:
            return None

        data = self._receiver.recv(1)
        if not data:
            self._receiver.close()
            return None
        return data[0]

    def close(self) -> None:
        """Let the numbers go where they went before; a thread that waits for one gets None."""
        signal.set_wakeup_fd(self._former)
        # Forked workers have a copy of the socket, with which closing alone would not end the wait.
        self._sender.shutdown(socket.SHUT_RDWR)
        self._sender.close()


class Interrupts:
    """A Ctrl-C ends the process with one line, whatever it is doing: importing, waiting, ending.

    A thread answers the signal. A job that is running gets a KeyboardInterrupt, and has :data:`GRACE` seconds, more
    within :meth:`patience`, or until the next Ctrl-C, to put away what it has begun.

    Attributes:
        job_running: whether somebody catches a KeyboardInterrupt.
        received: whether there was a Ctrl-C.
    """

    def __init__(self):
        self.job_running = False
        self.received = False
        self._started = False
        self._patience = 0.0
        self._announced = threading.Event()
        self._announcing = threading.Lock()

    def start(self) -> None:
        """Take Ctrl-C from here on, from the main thread; a process that was started to ignore it goes on doing so."""
        if self._started or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            return
        self._started = True

        self._numbers = SignalNumbers()
        signal.signal(signal.SIGINT, self._handle)
        threading.Thread(target=self._answer, daemon=True, name="video_rs interrupts").start()

    @contextlib.contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Give a job that is interrupted within this context so many seconds more."""
        self._patience += seconds
        try:
            yield
        finally:
            self._patience -= seconds

    def announce(self) -> None:
        """Write the line "interrupted", once, and nothing to stderr after it; return when the line is written."""
        if self._announcing.acquire(blocking=False):
            print_now("interrupted")
            silence_stderr()
            self._announced.set()
        self._announced.wait(GRACE)

    def _handle(self, *_) -> None:
        """Interrupt the main thread, after the line that says so."""
        self.received = True
        self.announce()
        if not self.job_running:
            remove_unfinished_files()
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt

    def _answer(self) -> None:
        """Wait for a Ctrl-C in a thread of its own, and end the process when its time is up."""
        self._wait(None)
        self.received = True
        self.announce()
        if self.job_running:
            self._wait(GRACE + self._patience)
        remove_unfinished_files()
        os._exit(INTERRUPTED)

    def _wait(self, seconds: float | None) -> None:
        """Return at the next Ctrl-C, or when no signal has arrived for so many seconds."""
        number = self._numbers.next(seconds)
        while number is not None and number != signal.SIGINT:
            number = self._numbers.next(seconds)


interrupts = Interrupts()
"""The interrupts of this process."""


class StopSignals:
    """SIGTERM, SIGHUP and the first Ctrl-C ask for a stop, and are answered at once; a second Ctrl-C ends the process.

    A thread answers them. SIGHUP, which a terminal sends when it is closed, stays ignored where it is (``nohup``).

    Attributes:
        asked: whether to stop.
    """

    KINDS = STOPPING
    ANSWER = "stopping after this step and saving"

    def __init__(self):
        self.asked = False

    def start(self) -> None:
        """Take the signals, from the main thread, until :meth:`close`."""
        self._numbers = SignalNumbers()
        self._former_handlers = {}
        for kind in self.KINDS:
            if kind == HANG_UP and signal.getsignal(kind) is signal.SIG_IGN:
                continue
            self._former_handlers[kind] = signal.signal(kind, self._handle)

        self._thread = threading.Thread(target=self._answer, daemon=True, name="video_rs signals")
        self._thread.start()

    def close(self) -> None:
        """Give the signals back to the handlers of before."""
        for kind, handler in self._former_handlers.items():
            signal.signal(kind, handler)
        self._numbers.close()
        self._thread.join()

    def _handle(self, kind: int, _) -> None:
        self.asked = True
        if kind == HANG_UP:
            leave_terminal()

    def _answer(self) -> None:
        """Answer each signal in a line: the first of all, the first Ctrl-C, and the second one, which is the end."""
        stop_announced = False
        interrupted_before = False
        number = self._numbers.next()
        while number is not None:
            if number == signal.SIGINT:
                if interrupted_before:
                    exit_interrupted()
                interrupted_before = True
                print_now(f"{self.ANSWER}; press Ctrl-C again to stop at once without saving")
            elif number in self._former_handlers and not stop_announced:
                if number == HANG_UP:
                    leave_terminal()
                print_now(self.ANSWER)

            stop_announced = stop_announced or number in self._former_handlers
            number = self._numbers.next()
