"""What a command settles before it imports anything that takes time; this module imports next to nothing itself."""

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


def let_idle_threads_sleep() -> None:
    """Make the idle threads of OpenMP sleep, unless the environment says otherwise.

    Threads that spin take the cores that the worker processes need. The setting is read when torch is imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
