"""The process's memory allocator, as a command of the project wants it."""

import ctypes
import platform

# Parameters of glibc's mallopt(3).
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8
NEVER = 2**31 - 1


def keep_freed_memory() -> None:
    """Have malloc keep what is freed for the next allocation, up to the process's end.

    XLA:CPU allocates the temporaries of a step anew each time. glibc maps so large a
    block from the kernel and unmaps it afterwards, so that every step has each of its
    pages zeroed again. Does nothing where the C library is not glibc.
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, NEVER)
        mallopt(ARENA_MAX, 1)
