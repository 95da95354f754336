"""Counts what the devices of a mesh exchange in a step, and estimates how it scales.

    python -m experiments.benchmarks.sharding --sizes=512,1024 --devices=8,64

VGG-19's step is compiled for devices that are not there, which JAX pretends, and its
exchanges are counted in the compiled program: nothing is run or timed. For the
convolutions alone, with w columns and c channels in and out, a device gets a row from
either neighbor for each and for its gradient:

    bytes = 4 · Σ_l 2 w_l (c_in + c_out)

The estimate takes the device with the most rows, and nothing to overlap; the flags
state what it assumes, by default figures of the order of an H200's:

    seconds = operations / rate + bytes / bandwidth + exchanges · latency
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags

from experiments.benchmarks.benchmark import print_rows, run_benchmark, whole_numbers
from nstjax import Preset, Targets, compile_steps, get_preset, make_weights
from nstjax.losses.objective import TransferData
from nstjax.network.architecture import LAYERS, LayerSummary, kernel_shapes, summarize
from nstjax.optimization.sharding import row_sharding, state_shardings
from nstjax.presets.settings import customize, deepest_layer
from nstjax.problem.compiled_transfer import make_transfer
from nstjax.runtime.mesh import row_mesh

KINDS = ("collective-permute", "all-reduce", "all-gather", "all-to-all")
ITEM_BYTES = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1}

flags.DEFINE_list("sizes", "512,1024", "Sides of square images.")
flags.DEFINE_list("devices", "8,64", "Numbers of devices.")
flags.DEFINE_string("optimizer", "adam", "As nstjax takes it.")
flags.DEFINE_float("tflops", 400.0, "Assumed rate of a device, 10^12 operations/s.")
flags.DEFINE_float("link_gb", 450.0, "Assumed bandwidth within a node, GB/s.")
flags.DEFINE_float("internode_gb", 50.0, "Assumed bandwidth between nodes, GB/s.")
flags.DEFINE_float("latency_us", 5.0, "Assumed latency of an exchange, µs.")
flags.DEFINE_integer("node", 8, "Devices within a node.", lower_bound=1)

FLAGS = flags.FLAGS
ASSUMED = ("tflops", "link_gb", "internode_gb", "latency_us", "node")


def measure() -> dict[str, Any]:
    """What is assumed, and a row for each size and number of devices, printed."""
    sizes, counts = whole_numbers("sizes", 16), whole_numbers("devices", 2)
    preset = customize(
        get_preset("gatys2016"), optimizer=FLAGS.optimizer, pyramid="none"
    )
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", max(counts))
    machine = {name: FLAGS[name].value for name in ASSUMED}
    print(", ".join(f"{name} {value:g}" for name, value in machine.items()))
    rows = [estimate(size, count, preset) for size in sizes for count in counts]
    print_rows("Exchanges of a step, and how it scales", rows)
    return {"machine": machine, "rows": rows}


def estimate(size: int, devices: int, preset: Preset) -> dict[str, Any]:
    """The row of one size and number of devices."""
    received, exchanges = count_exchanges(program_text(size, devices, preset), devices)
    layers, styled = needed_layers(size, preset), preset.style_layers
    alone, compute = (
        operations(layers, styled, count) / FLAGS.tflops / 1e12
        for count in (1, devices)
    )
    link = FLAGS.link_gb if devices <= FLAGS.node else FLAGS.internode_gb
    transfer = sum(received.values()) / link / 1e9
    latency = sum(exchanges.values()) * FLAGS.latency_us / 1e6
    halo, sums = received["collective-permute"], received["all-reduce"]
    return {
        "size": size,
        "devices": devices,
        "halo kB": halo / 1e3,
        "formula kB": formula_bytes(layers) / 1e3,
        "sums kB": sums / 1e3,
        "other kB": (sum(received.values()) - halo - sums) / 1e3,
        "exchanges": sum(exchanges.values()),
        "compute ms": 1e3 * compute,
        "transfer ms": 1e3 * transfer,
        "latency ms": 1e3 * latency,
        "efficiency": alone / (compute + transfer + latency) / devices,
    }


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


def needed_layers(size: int, preset: Preset) -> list[LayerSummary]:
    """VGG-19's layers for a square image, up to the deepest that the loss sees."""
    return summarize(size, size)[: LAYERS.index(deepest_layer(preset)) + 1]


def program_text(size: int, devices: int, preset: Preset) -> str:
    """The compiled step of a square image, as XLA prints it; shapes are enough."""
    mesh = row_mesh(devices)
    assert mesh is not None
    transfer = make_transfer(preset, mesh)
    shapes = {row.name: row.shape for row in needed_layers(size, preset)}
    whole = row_sharding((1,), mesh)

    def array(*shape: int, sharding: Any = whole, dtype: Any = jnp.float32) -> Any:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    params = {
        layer: {"kernel": array(*shape), "bias": array(shape[-1])}
        for layer, shape in kernel_shapes().items()
        if layer in shapes
    }
    contents = {
        layer: array(*shapes[layer], sharding=row_sharding(shapes[layer], mesh))
        for layer in preset.content_layers
    }
    grams = {layer: array(*2 * shapes[layer][2:]) for layer in preset.style_layers}
    weights, key = jax.device_put((make_weights(preset), jax.random.key(0)), whole)
    data = TransferData(params, Targets(contents, grams), weights, key, None)
    state = jax.eval_shape(transfer.init, array(size, size, 3))
    state = jax.tree.map(
        lambda leaf, sharding: array(*leaf.shape, sharding=sharding, dtype=leaf.dtype),
        state,
        state_shardings(state, mesh),
    )
    advance: Any = compile_steps(transfer, longest=1).advance
    text: str = advance.lower(state, 1, *data).compile().as_text()
    return text


def count_exchanges(text: str, devices: int) -> tuple[dict[str, int], dict[str, int]]:
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
    return dict(received), dict(exchanges)


if __name__ == "__main__":
    run_benchmark("sharding", __name__, __doc__, measure)
