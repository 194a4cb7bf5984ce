"""How a process is asked to stop, and what it answers, past all buffers and locks."""

import contextlib
import os
import select
import signal
import socket
import stat
import threading
from typing import NoReturn

INTERRUPTED = 130
"""Exit code after a Ctrl-C."""
HANG_UP = getattr(signal, "SIGHUP", None)  # Windows has none
STOPPING = (signal.SIGTERM, signal.SIGINT, *([HANG_UP] if HANG_UP else []))
"""What asks a process to stop."""
GRACE = 3.0  # seconds in which an interrupted job may put away what it has begun


def is_first_process() -> bool:
    """Whether this is rank 0, or the only process."""
    return os.environ.get("RANK", "0") == "0"


def end_interrupted() -> NoReturn:
    """Says so and ends the process at once, whatever its threads do or wait for; its reading processes end with it."""
    if interrupts.heard:
        interrupts.told.wait(GRACE)
    else:
        tell_at_once("interrupted")
    os._exit(INTERRUPTED)


def tell_at_once(text: str) -> None:
    """A line on stderr, of rank 0, past all buffers and locks; on a terminal it leaves the line of a progress bar."""
    if is_first_process():
        with contextlib.suppress(OSError):
            os.write(2, ("\n" * os.isatty(2) + text + "\n").encode())


def mute() -> None:
    """Sends whatever is still written to stderr nowhere: after the last line, no library adds a traceback."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def leave_terminal() -> None:
    """Sends output that would go to a terminal nowhere: one that was closed refuses it. Files and pipes stay."""
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(stream).st_mode):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


class Interrupts:
    """A Ctrl-C ends the process with one line, whatever it is doing: importing, waiting, ending.

    A thread answers it, as in :class:`StopSignals`. While a job ``unwinds``, it gets a KeyboardInterrupt, and has
    :data:`GRACE` seconds, or until the next Ctrl-C, to put away what it has begun.

    Attributes:
        unwinds: whether there is somebody to catch a KeyboardInterrupt.
        heard: whether there was a Ctrl-C.
        told: set once the line is written.
    """

    def __init__(self):
        self.unwinds = self.heard = self.taken = False
        self.told = threading.Event()

    def take(self) -> None:
        """Takes Ctrl-C from here on, from the main thread; a process that was started to ignore it goes on doing so."""
        if self.taken or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            return
        self.taken = True
        self.ear, self.bell = socket.socketpair()
        self.bell.setblocking(False)
        signal.set_wakeup_fd(self.bell.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, self._interrupt)
        threading.Thread(target=self._answer, daemon=True, name="video_rs interrupts").start()

    def _interrupt(self, *_) -> None:
        self.heard = True
        self.told.wait(GRACE)
        if not self.unwinds:
            os._exit(INTERRUPTED)
        raise KeyboardInterrupt

    def _answer(self) -> None:
        self._hear(None)
        self.heard = True
        tell_at_once("interrupted")
        mute()
        self.told.set()
        if self.unwinds:
            self._hear(GRACE)
        os._exit(INTERRUPTED)

    def _hear(self, seconds: float | None) -> None:
        """Returns at the next Ctrl-C, or after so many seconds."""
        while select.select([self.ear], [], [], seconds)[0]:
            if self.ear.recv(1)[0] == signal.SIGINT:
                return


interrupts = Interrupts()
"""Of this process."""


class StopSignals:
    """SIGTERM, SIGHUP and the first Ctrl-C ask for a stop, and are answered at once; a second Ctrl-C ends the process.

    A thread takes them: the main one runs no handlers within a long operation, or while it waits for another process.
    SIGHUP, which a terminal sends that is closed, stays ignored where it is (``nohup``).

    Attributes:
        asked: whether to stop.
    """

    KINDS = STOPPING
    ANSWER = "stopping after this step and saving"

    def __init__(self):
        self.asked = False

    def start(self) -> None:
        """Takes the signals, from the main thread, until :meth:`close`."""
        self.ear, self.bell = socket.socketpair()
        self.bell.setblocking(False)
        self.former_bell = signal.set_wakeup_fd(self.bell.fileno(), warn_on_full_buffer=False)
        kinds = [kind for kind in self.KINDS if kind != HANG_UP or signal.getsignal(kind) is not signal.SIG_IGN]
        self.former = {kind: signal.signal(kind, self._ask) for kind in kinds}
        self.thread = threading.Thread(target=self._answer, daemon=True, name="video_rs signals")
        self.thread.start()

    def close(self) -> None:
        """Gives the signals back to whom they were taken from."""
        for kind, handler in self.former.items():
            signal.signal(kind, handler)
        signal.set_wakeup_fd(self.former_bell)
        # Forked workers have a copy of the socket, with which closing alone would not end the thread.
        self.bell.shutdown(socket.SHUT_RDWR)
        self.bell.close()
        self.thread.join()
        self.ear.close()

    def _ask(self, kind: int, _) -> None:
        self.asked = True
        if kind == HANG_UP:
            leave_terminal()

    def _answer(self) -> None:
        seen = []
        while byte := self.ear.recv(1):
            kind = byte[0]
            if kind == signal.SIGINT and kind in seen:
                end_interrupted()
            if kind == signal.SIGINT:
                tell_at_once(f"{self.ANSWER}; press Ctrl-C again to stop at once without saving")
            elif kind in self.former and not seen:
                if kind == HANG_UP:
                    leave_terminal()
                tell_at_once(self.ANSWER)
            seen += [kind] * (kind in self.former)
