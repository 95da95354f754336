"""Counts what the devices of a mesh exchange in a step, and estimates how it scales.

    python -m experiments.benchmarks.sharding --sizes=512,1024 --devices=8,64

VGG-19's step is compiled for devices that are not there, which JAX pretends, and its
exchanges are counted in the compiled program: nothing is timed. The count is held
against the formula for the convolutions alone, a row from either neighbor for each and
for its gradient, with w columns and c channels in and out:

    bytes = 4 · Σ_l 2 w_l (c_in + c_out)

The estimate takes the device with the most rows, and nothing to overlap:

    seconds = operations / rate + bytes / bandwidth + exchanges · latency

Rate, bandwidth and latency are assumptions, which the flags state.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from absl import flags

from experiments.benchmarks.sharding_program import needed_layers, published
from nstjax.entry import run_command
from nstjax.errors import InputError
from nstjax.io.atomic import atomic_path, check_writable
from nstjax.vgg import LayerSummary, kernel_shapes

USAGE = """
What the devices of a mesh exchange in a step, and how that scales.

  python -m experiments.benchmarks.sharding --sizes=512,1024 --devices=8,64
"""

flags.DEFINE_list("sizes", "512,1024", "Sides of square images.")
flags.DEFINE_list("devices", "8,64", "Numbers of devices.")
flags.DEFINE_string("optimizer", "adam", "As nstjax takes it.")
flags.DEFINE_float("tflops", 400.0, "Assumed rate of a device, 10^12 operations/s.")
flags.DEFINE_float("link_gb", 450.0, "Assumed bandwidth within a node, GB/s.")
flags.DEFINE_float("internode_gb", 50.0, "Assumed bandwidth between nodes, GB/s.")
flags.DEFINE_float("latency_us", 5.0, "Assumed latency of an exchange, µs.")
flags.DEFINE_integer("node", 8, "Devices within a node.", lower_bound=1)
flags.DEFINE_string("output", None, "JSON file for the table.")

FLAGS = flags.FLAGS


class Machine(NamedTuple):
    """What the estimate assumes; the defaults are of the order of an H200's figures.

    Attributes:
      tflops: 10^12 operations per second of a device.
      link_gb: GB/s between the devices of a node.
      internode_gb: GB/s between nodes.
      latency_us: µs that an exchange takes whatever its size.
      node: devices within a node.
    """

    tflops: float = 400.0
    link_gb: float = 450.0
    internode_gb: float = 50.0
    latency_us: float = 5.0
    node: int = 8


ASSUMED = Machine()


def measure(
    sizes: Sequence[int],
    devices: Sequence[int],
    optimizer: str = "adam",
    machine: Machine = ASSUMED,
) -> list[dict[str, Any]]:
    """A row for each size and number of devices: exchanges per step, and estimate."""
    preset = published(optimizer)
    rows = []
    for size in sizes:
        layers = needed_layers(size, preset)
        styled = preset.style_layers
        alone = operations(layers, styled, 1) / machine.tflops / 1e12
        for count in devices:
            found = count_in_child(size, count, optimizer)
            link = machine.link_gb if count <= machine.node else machine.internode_gb
            compute = operations(layers, styled, count) / machine.tflops / 1e12
            transfer = sum(found["bytes"].values()) / link / 1e9
            latency = sum(found["exchanges"].values()) * machine.latency_us / 1e6
            speedup = alone / (compute + transfer + latency)
            rows.append(
                {
                    "size": size,
                    "devices": count,
                    **found,
                    "formula_bytes": formula_bytes(layers),
                    "compute_ms": 1e3 * compute,
                    "transfer_ms": 1e3 * transfer,
                    "latency_ms": 1e3 * latency,
                    "speedup": speedup,
                    "efficiency": speedup / count,
                }
            )
    return rows


def count_in_child(size: int, devices: int, optimizer: str) -> dict[str, Any]:
    """What ``sharding_program`` counts, for so many devices of a new process."""
    flag = f"--xla_force_host_platform_device_count={devices}"
    found = subprocess.run(
        [
            *(sys.executable, "-m", "experiments.benchmarks.sharding_program"),
            *(str(size), str(devices), optimizer),
        ],
        env={**os.environ, "XLA_FLAGS": flag, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        check=True,
    )
    result: dict[str, Any] = json.loads(found.stdout)
    return result


def formula_bytes(layers: Sequence[LayerSummary]) -> int:
    """What a device gets for the convolutions, by the formula above."""
    kernels = kernel_shapes()
    return sum(
        4 * 2 * row.shape[1] * sum(kernels[row.name][2:])
        for row in layers
        if row.name in kernels
    )


def operations(
    layers: Sequence[LayerSummary], styled: Sequence[str], devices: int
) -> int:
    """Operations of a step on the device with the most rows.

    Each convolution and Gram matrix counts twice, for its gradient takes as many.
    """
    kernels = kernel_shapes()
    total = 0
    for row in layers:
        height, width, channels = row.shape
        positions = math.ceil(height / devices) * width
        if row.name in kernels:
            total += 4 * positions * math.prod(kernels[row.name])
        if row.name in styled:
            total += 4 * positions * channels**2
    return total


def main(arguments: Sequence[str]) -> int:
    """Print the table; returns the exit status."""
    if arguments:
        raise InputError(f"unexpected argument {arguments[0]}: see --help")
    if FLAGS.output:
        check_writable(FLAGS.output)
    assumed: dict[str, Any] = {name: FLAGS[name].value for name in Machine._fields}
    machine = Machine(**assumed)
    print(
        f"assumed: {machine.tflops:g} TFLOP/s, {machine.link_gb:g} GB/s within "
        f"{machine.node} devices, {machine.internode_gb:g} GB/s beyond, "
        f"{machine.latency_us:g} µs\n"
        f"{'size':>5}{'devices':>8}{'halo kB':>9}{'formula':>9}{'sums kB':>9}"
        f"{'other':>7}{'number':>8}{'compute':>9}{'transfer':>9}{'latency':>9}"
        f"{'efficiency':>11}"
    )
    rows = []
    for size in _numbers("sizes"):
        for count in _numbers("devices"):
            (row,) = measure([size], [count], FLAGS.optimizer, machine)
            rows.append(row)
            received = row["bytes"]
            halo, sums = received["collective-permute"], received["all-reduce"]
            print(
                f"{size:>5}{count:>8}{halo / 1e3:>9.0f}"
                f"{row['formula_bytes'] / 1e3:>9.0f}{sums / 1e3:>9.0f}"
                f"{(sum(received.values()) - halo - sums) / 1e3:>7.0f}"
                f"{sum(row['exchanges'].values()):>8}{row['compute_ms']:>6.2f} ms"
                f"{row['transfer_ms']:>6.2f} ms{row['latency_ms']:>6.2f} ms"
                f"{row['efficiency']:>11.0%}",
                flush=True,
            )
    if FLAGS.output:
        table = {"machine": machine._asdict(), "rows": rows}
        with atomic_path(FLAGS.output) as temporary:
            temporary.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    return 0


def _numbers(flag: str) -> list[int]:
    texts: list[str] = FLAGS[flag].value or []
    least = 2 if flag == "devices" else 16
    if not texts or any(not text.isdecimal() or int(text) < least for text in texts):
        raise InputError(
            f"--{flag}={','.join(texts)}: give numbers of {least} or more, with commas"
        )
    return [int(text) for text in texts]


if __name__ == "__main__":
    run_command("sharding", __name__, USAGE, main)
