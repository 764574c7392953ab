"""How the C library hands out memory to arrays."""

import ctypes
import sys

# of <malloc.h>
M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8


def keep_freed() -> bool:
    """Keep freed memory for the next array, in one heap; whether that could be done.

    Otherwise glibc gives large arrays back to the kernel at every step of a training
    and has them mapped anew, and the kernel clears page after page: that was up to two
    thirds of the time of a job. To be called before the first thread begins. Other
    libraries are left as they are.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "gnu_get_libc_version"):
        return False
    options = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_ARENA_MAX: 1}
    return all(libc.mallopt(option, value) for option, value in options.items())
