"""The devices over which something is split: an image's rows, a batch."""

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec, Sharding

from nstjax.errors import InputError
from nstjax.runtime.processes import count_processes
from nstjax.whole_number import is_whole_number

ROWS = "rows"


def read_mesh(text: str | None) -> Mesh | None:
    """The mesh that a text such as ``rows=4`` asks for; None for a single device.

    Without a text it is one device, or all of them if there are several processes.
    """
    if text is None:
        return row_mesh(jax.device_count()) if count_processes() > 1 else None
    name, _, number = text.partition("=")
    number = number.strip()
    if name.strip() != ROWS or not is_whole_number(number):
        raise InputError(
            f"mesh={text}: give rows=N, with N the number of devices over which the "
            "image's rows are split"
        )
    return row_mesh(int(number))


def row_mesh(rows: int) -> Mesh | None:
    """A mesh of so many devices, one after the other; None for a single one."""
    devices = jax.devices()
    if not 1 <= rows <= len(devices):
        raise InputError(
            f"mesh=rows={rows}: give a number from 1 to {len(devices)}, which is how "
            f"many devices there are ({jax.default_backend()})"
        )
    if count_processes() > 1 and rows < len(devices):
        raise InputError(
            f"mesh=rows={rows} leaves out some of the {len(devices)} devices of "
            f"{count_processes()} processes: give rows={len(devices)} or leave it out"
        )
    return None if rows == 1 else _make_mesh(rows, ROWS)


def batch_shardings(devices: int, axis: str) -> tuple[Sharding, Sharding]:
    """Of arrays whose first axis is split over so many devices, and of all others."""
    if devices == 1:
        # A mesh of one device would come out of a program as another than went in.
        return (jax.sharding.SingleDeviceSharding(jax.devices()[0]),) * 2
    mesh = _make_mesh(devices, axis)
    split, whole = PartitionSpec(axis), PartitionSpec()
    return NamedSharding(mesh, split), NamedSharding(mesh, whole)


def _make_mesh(devices: int, axis: str) -> Mesh:
    # Not Explicit, JAX's default: there XLA would add no exchange of its own.
    kinds = (AxisType.Auto,)
    return jax.make_mesh((devices,), (axis,), kinds, devices=jax.devices()[:devices])
