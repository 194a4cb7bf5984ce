"""What the command-line tools share: exit codes, and settings of the process."""

import ctypes
import logging
import os
import sys
from collections.abc import Callable

from video_rs.engine import distributed
from video_rs.engine.loop import Stopped
from video_rs.errors import InputError

REFUSED, TERMINATED = 2, 143


def run(main: Callable[[], None]) -> None:
    """Runs ``main`` and exits: 0 done, 2 input refused in one line, 143 stopped with state saved.

    Anything else keeps its traceback and exits 1. Under torchrun only rank 0 prints the line.
    """
    keep_large_blocks()
    if os.environ.get("RANK", "0") != "0":
        logging.getLogger("video_rs").setLevel(logging.ERROR)
    # A file name may hold bytes that are no text; naming it must not end a run.
    sys.stdout.reconfigure(errors="backslashreplace")
    code = 0
    try:
        main()
    except InputError as error:
        if os.environ.get("RANK", "0") == "0":
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        code = REFUSED
    except Stopped as stopped:
        if os.environ.get("RANK", "0") == "0":
            print(f"{stopped}; continue with --resume", file=sys.stderr)
        code = TERMINATED
    distributed.stop()
    sys.exit(code)


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
