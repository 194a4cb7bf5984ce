"""How a process is asked to stop, and what it answers, past all buffers and locks."""

import contextlib
import os
import signal
import socket
import threading
from typing import NoReturn

INTERRUPTED = 130
"""Exit code after a Ctrl-C."""


def is_first_process() -> bool:
    """Whether this is rank 0, or the only process."""
    return os.environ.get("RANK", "0") == "0"


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
