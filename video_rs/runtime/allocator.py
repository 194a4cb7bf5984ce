"""The settings of the C library's memory allocator."""

import ctypes

# Parameters of glibc's mallopt, from its malloc.h.
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3


def keep_large_blocks() -> None:
    """Tell glibc to reuse large blocks instead of returning them to the kernel after every layer.

    The maps of a 3D network are tens of megabytes each, and mapping and clearing them anew costs up to a sixth of
    a step on a CPU. Other allocators are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, 2**30)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
