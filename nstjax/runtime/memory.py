"""The process's memory: what is in use, what may be used, and how to give it back."""

import ctypes
import math
import os
import platform
import resource
import sys
from pathlib import Path
from typing import Any

import jax

GIGABYTE = 1e9
HEADROOM = 1.05  # of a budget over a prediction
# A device's runtime and its libraries want some, too.
USABLE_SHARE_OF_DEVICE = 0.9


def free_before_next_step() -> None:
    """Have XLA:CPU free a step's temporaries before the next step begins.

    It does so when it runs the steps where they are asked for, and not in a thread of
    its own. To be called before JAX's first operation.
    """
    jax.config.update("jax_cpu_enable_async_dispatch", False)


def give_back_freed_memory() -> None:
    """Have malloc return what is free, such as what the compiler leaves behind.

    Elsewhere it is kept (``nstjax.runtime.allocator``), and the holes in it add to the
    peak.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def memory_in_use() -> int:
    """Resident bytes of the process; on an accelerator, used bytes of the devices."""
    if jax.default_backend() != "cpu":
        return sum(_statistic(device, "bytes_in_use") for device in jax.devices())
    give_back_freed_memory()
    status = Path("/proc/self/status")
    if status.exists():
        return _kilobytes(status, "VmRSS")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def default_budget(share: float = 0.5) -> float:
    """A share of the machine's available memory, or most of the accelerators'."""
    if jax.default_backend() != "cpu":
        limit = sum(_statistic(device, "bytes_limit") for device in jax.devices())
        return USABLE_SHARE_OF_DEVICE * limit or math.inf
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
    return (
        memory.argument_size_in_bytes
        + memory.output_size_in_bytes
        - memory.alias_size_in_bytes
        + memory.temp_size_in_bytes
    )


def _statistic(device: jax.Device, name: str) -> int:
    return (device.memory_stats() or {}).get(name, 0)


def _kilobytes(path: Path, name: str) -> int:
    lines = path.read_text().splitlines()
    return next(
        1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")
    )
