"""The process's memory: what is in use, what may be used, and how it is kept or freed.

XLA:CPU allocates the temporaries of a step anew each time. glibc maps so large a block
from the kernel and unmaps it afterwards, so that every step has each of its pages
zeroed again, unless malloc keeps what is freed. But then what the compiler leaves
behind adds to the peak, unless it is given back.
"""

import ctypes
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import jax

GIGABYTE = 1e9
HEADROOM = 1.05  # a budget must exceed the prediction by this factor
# A device's runtime and its libraries want some, too.
USABLE_SHARE_OF_DEVICE = 0.9
# Parameters of glibc's mallopt(3).
TRIM_THRESHOLD, MMAP_MAX, ARENA_MAX = -1, -4, -8
NEVER = 2**31 - 1
# In the first steps, small arrays that live long settle between a step's large ones,
# and the next step's no longer fit there.
SETTLING_STEPS = 3


def keep_freed_memory() -> None:
    """Have glibc's malloc keep what is freed for the next allocation, from here on."""
    if _has_glibc():
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, NEVER)
        mallopt(ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Have glibc's malloc return what is free, such as what the compiler leaves."""
    if _has_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def settle_memory(steps_done: int) -> None:
    """Before a step: give back what is free, where a run is in its first steps."""
    if 0 < steps_done < SETTLING_STEPS:
        give_back_freed_memory()


def free_before_next_step() -> None:
    """Have XLA:CPU free a step's temporaries before the next step begins.

    It does so when steps run in the caller's thread. To be called before JAX's first
    operation.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def memory_in_use() -> int:
    """Resident bytes of the process; on an accelerator, used bytes of the devices."""
    if jax.default_backend() != "cpu":
        return _of_devices("bytes_in_use")
    give_back_freed_memory()
    status = Path("/proc/self/status")
    if status.exists():
        return _kilobytes(status, "VmRSS")
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def default_budget(share: float = 0.5) -> float:
    """A share of the machine's available memory, or most of the accelerators'."""
    if jax.default_backend() != "cpu":
        return USABLE_SHARE_OF_DEVICE * _of_devices("bytes_limit") or math.inf
    about = Path("/proc/meminfo")
    if about.exists():
        return memory_in_use() + _kilobytes(about, "MemAvailable") * share
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * share


def array_bytes(tree: Any) -> int:
    """Bytes of a tree of arrays, or of their shapes."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def program_bytes(compiled: jax.stages.Compiled) -> int:
    """What a compiled program takes: arguments, results and temporaries."""
    memory: Any = compiled.memory_analysis()
    results = memory.output_size_in_bytes - memory.alias_size_in_bytes
    return memory.argument_size_in_bytes + results + memory.temp_size_in_bytes


def _has_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"


def _of_devices(statistic: str) -> int:
    return sum((each.memory_stats() or {}).get(statistic, 0) for each in jax.devices())


def _kilobytes(path: Path, name: str) -> int:
    return 1024 * int(path.read_text().partition(f"\n{name}:")[2].split()[0])
