"""Several processes or devices that work on one thing together.

Every process runs the same command on the same inputs; ``--process_id`` alone differs.
Only the first one writes files and tells what it does. What the processes have to
decide alike, such as whether to stop, they ask each other with ``any_of_processes``.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Sharding

from nstjax.errors import InputError
from nstjax.runtime.interrupts import heed_signals_again
from nstjax.whole_number import is_whole_number

AUTOMATIC = "auto"
COMPLETE = b"complete"


def join_processes(
    coordinator: str | None,
    num_processes: int | None,
    process_id: int | None,
    timeout: int = 300,
) -> None:
    """Join the other processes; does nothing if no argument is given.

    To be called before JAX's first operation. From here on, all processes but the first
    discard standard output and notes.

    The coordinator is HOST:PORT of the first process; "auto", without the next two,
    where JAX finds them out by itself (Slurm, Open MPI, TPU). ``process_id`` counts
    from 0; the others are waited for ``timeout`` seconds.
    """
    given = (coordinator, num_processes, process_id)
    if given == (None, None, None):
        return
    if timeout < 1:
        raise InputError(f"coordinator_timeout must be 1 or more, got {timeout}")
    automatic = given == (AUTOMATIC, None, None)
    if not automatic:
        names = ("--coordinator", "--num_processes", "--process_id")
        missing = [names[i] for i in range(3) if given[i] is None]
        if missing:
            raise InputError(
                "several processes need --coordinator=HOST:PORT, --num_processes and "
                f"--process_id: add {' and '.join(missing)}"
            )
        assert coordinator and num_processes is not None and process_id is not None
        host, _, port = coordinator.rpartition(":")
        if not host or not is_whole_number(port) or not 0 < int(port) < 2**16:
            raise InputError(
                f"coordinator={coordinator}: give HOST:PORT of the first process, such "
                "as node1:1234, or auto without the other two flags"
            )
        if num_processes < 1:
            raise InputError(f"num_processes must be 1 or more, got {num_processes}")
        if not 0 <= process_id < num_processes:
            last = num_processes - 1
            raise InputError(f"process_id must lie in 0..{last}, got {process_id}")
        if process_id == 0:
            _wait_for_others(int(port), num_processes - 1, timeout)
        else:
            _wait_for_first(coordinator, num_processes, timeout)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(
            None if automatic else coordinator,
            num_processes,
            process_id,
            cluster_detection_method=None if automatic else "deactivate",
            initialization_timeout=timeout,
        )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"coordinator={coordinator}: the processes cannot be joined ({error})"
        ) from error
    # JAX's preemption service keeps SIGTERM to itself from here on.
    heed_signals_again()
    if not is_first_process():
        # Of the libraries' own lines, too.
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        logging.getLogger("nstjax").setLevel(logging.WARNING)


def count_processes() -> int:
    """How many processes work together; starts no device where none was joined."""
    return jax.process_count() if jax.distributed.is_initialized() else 1


def is_first_process() -> bool:
    """Whether this process writes the files and tells what happens."""
    return count_processes() == 1 or jax.process_index() == 0


def any_of_processes(flag: bool) -> bool:
    """Whether the flag is set in any process; all of them must ask at the same time."""
    return not smallest_of_processes(not flag)


def smallest_of_processes(value: int) -> int:
    """The smallest value of all processes; all of them must ask at the same time."""
    if count_processes() == 1:
        return value
    return int(multihost_utils.process_allgather(np.array([value])).min())


def place(tree: Any, sharding: Sharding) -> Any:
    """``jax.device_put``, keys of ``jax.random`` over several processes included."""

    def put(leaf: Any) -> Any:
        if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.device_put(leaf, sharding)
        values = jax.device_put(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(values, impl=jax.random.key_impl(leaf))

    return jax.tree.map(put, tree)


@contextlib.contextmanager
def all_or_none() -> Iterator[None]:
    """Leave the block together: where it fails in one process, it fails in all.

    Elsewhere than where it failed, that is an ``InputError``.
    """
    try:
        yield
    except BaseException:
        any_of_processes(True)
        raise
    if any_of_processes(False):
        raise InputError("another process could not go on: its message says why")


def to_numpy(array: Any) -> np.ndarray:
    """The whole array; of one that is split over processes, all must ask at once."""
    split = isinstance(array, jax.Array) and not (
        array.is_fully_addressable or array.is_fully_replicated
    )
    if split:
        array = multihost_utils.process_allgather(array, tiled=True)
    return np.asarray(array)


# Where a process does not come, JAX's own waiting ends in an abort with a stack trace.
def _wait_for_first(coordinator: str, count: int, timeout: int) -> None:
    host, _, port = coordinator.rpartition(":")
    address = host.strip("[]"), int(port)
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection(address, left) as first:
                if first.recv(len(COMPLETE)) == COMPLETE:
                    return
                break
        except OSError:
            time.sleep(min(left, 0.1))
    raise InputError(
        f"coordinator={coordinator} did not answer within {timeout} seconds: start all "
        f"of {count} processes, that of --process_id=0 there"
    )


def _wait_for_others(port: int, others: int, timeout: int) -> None:
    deadline = time.monotonic() + timeout
    both = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both else socket.AF_INET
    try:
        server = socket.create_server(("", port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise InputError(
            f"coordinator: port {port} cannot be used here ({error.strerror}): choose "
            "another one"
        ) from error
    with contextlib.ExitStack() as stack:
        stack.enter_context(server)
        came: list[socket.socket] = []
        while len(came) < others:
            server.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                came.append(stack.enter_context(server.accept()[0]))
            except TimeoutError:
                raise InputError(
                    f"only {len(came) + 1} of {others + 1} processes came in time: "
                    "start all of them, or see --num_processes"
                ) from None
        for connection in came:
            connection.sendall(COMPLETE)
