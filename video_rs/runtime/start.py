"""Ctrl-C from a command's first moment on. Commands import this before all else, and it imports next to nothing."""

import os
import signal


def take_interrupts() -> None:
    """Make Ctrl-C end the process at once, with one line in the place of a traceback.

    :func:`video_rs.runtime.cli.run` takes over from here.
    A process that was started to ignore it goes on doing so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def _end(*_) -> None:
    if os.environ.get("RANK", "0") == "0":
        os.write(2, b"interrupted\n")
    os._exit(130)
