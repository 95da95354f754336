"""What the devices of a mesh exchange in a step, from the program that XLA compiles.

    python -m experiments.benchmarks.sharding_program SIZE DEVICES OPTIMIZER

prints it as JSON, for as many devices as JAX is told to pretend. Nothing is run: the
network's and the targets' shapes are enough to compile. For the convolutions alone,
with w columns and c channels in and out, a device gets a row from either neighbor for
each and for its gradient:

    bytes = 4 · Σ_l 2 w_l (c_in + c_out)

The estimate takes the device with the most rows, and nothing to overlap:

    seconds = operations / rate + bytes / bandwidth + exchanges · latency
"""

import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nstjax.losses.objective import TransferData
from nstjax.losses.terms import Targets
from nstjax.network.vgg import LAYERS, LayerSummary, kernel_shapes, summarize
from nstjax.optimization.sharding import row_sharding, state_shardings
from nstjax.optimization.steps import compile_steps
from nstjax.presets.preset import Preset, customize
from nstjax.presets.published import get_preset
from nstjax.problem.compiled_transfer import make_transfer
from nstjax.problem.problem import make_weights
from nstjax.runtime.mesh import row_mesh

KINDS = ("collective-permute", "all-reduce", "all-gather", "all-to-all")
ITEM_BYTES = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1}


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
    """What this module counts, for so many devices of a new process."""
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
    """What a device gets for the convolutions, by the module's formula."""
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


def published(optimizer: str) -> Preset:
    """The paper's settings, of a single scale."""
    return customize(get_preset("gatys2016"), optimizer=optimizer, pyramid="none")


def needed_layers(size: int, preset: Preset) -> list[LayerSummary]:
    """VGG-19's layers for a square image, up to the deepest that the loss sees."""
    seen = (*preset.content_layers, *preset.style_layers)
    deepest = max(map(LAYERS.index, seen))
    return summarize(size, size)[: deepest + 1]


def program_text(size: int, devices: int, preset: Preset) -> str:
    """The compiled step of a square image, as XLA prints it."""
    mesh = row_mesh(devices)
    assert mesh is not None
    transfer = make_transfer(preset, mesh)
    shapes = {row.name: row.shape for row in needed_layers(size, preset)}
    whole = row_sharding((1,), mesh)

    def array(*shape: int, sharding: Any = whole) -> Any:
        return jax.ShapeDtypeStruct(shape, jnp.float32, sharding=sharding)

    data = TransferData(
        {
            layer: {"kernel": array(*shape), "bias": array(shape[-1])}
            for layer, shape in kernel_shapes().items()
            if layer in shapes
        },
        Targets(
            {
                layer: array(*shapes[layer], sharding=row_sharding(shapes[layer], mesh))
                for layer in preset.content_layers
            },
            {
                layer: array(shapes[layer][2], shapes[layer][2])
                for layer in preset.style_layers
            },
        ),
        jax.device_put(make_weights(preset), whole),
        jax.device_put(jax.random.key(0), whole),
        None,
    )
    state = jax.eval_shape(transfer.init, array(size, size, 3))
    state = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=sharding
        ),
        state,
        state_shardings(state, mesh),
    )
    advance: Any = compile_steps(transfer, longest=1).advance
    text: str = advance.lower(state, 1, *data).compile().as_text()
    return text


def count_exchanges(text: str, devices: int) -> dict[str, dict[str, int]]:
    """Bytes that a device gets, and numbers of exchanges, by kind.

    In a ring of N devices a sum over all of them brings each 2 (N-1)/N of its size, a
    gathering (N-1)/N.
    """
    others = (devices - 1) / devices
    shares = {"all-reduce": 2 * others, "all-gather": others, "all-to-all": others}
    received: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    exchanges: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    pattern = rf" = (.*?) ({'|'.join(KINDS)})(?:-start)?\("
    for result, kind in re.findall(pattern, text):
        size = sum(
            ITEM_BYTES[item] * math.prod(map(int, filter(None, lengths.split(","))))
            for item, lengths in re.findall(r"([a-z]+\d*)\[([\d,]*)\]", result)
        )
        received[kind] += round(shares.get(kind, 1.0) * size)
        exchanges[kind] += 1
    return {"bytes": dict(received), "exchanges": dict(exchanges)}


def main(arguments: Sequence[str]) -> None:
    """Print what is exchanged."""
    size, devices, optimizer = int(arguments[0]), int(arguments[1]), arguments[2]
    text = program_text(size, devices, published(optimizer))
    print(json.dumps(count_exchanges(text, devices)))


if __name__ == "__main__":
    main(sys.argv[1:])
