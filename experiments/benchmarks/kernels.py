"""Times the 3×3 convolutions of VGG-19, each by the algorithms there are.

    python -m experiments.benchmarks.kernels --sizes=400x300,512x512

``direct`` is XLA's float32 convolution, ``winograd`` that of
``nstjax.network.convolution`` with bfloat16 products; ``gradient`` is what each costs
backward, with respect to its input. GFLOP/s count the products of the direct
convolution for both. They take turns.
"""

import functools
import statistics
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.benchmarks import benchmark
from nstjax.network.architecture import LAYERS, kernel_shapes, summarize
from nstjax.network.convolution import conv3x3, direct_convolution, winograd_convolution

DEEPEST = "conv5_1"
ALGORITHMS: dict[str, Callable[..., Any]] = {
    "direct": direct_convolution,
    "winograd": winograd_convolution,
}

flags.DEFINE_list("sizes", "400x300,512x512", "Each WIDTHxHEIGHT.")
flags.DEFINE_integer("repeats", 7, "Timed rounds.", lower_bound=1)

FLAGS = flags.FLAGS


def measure() -> list[dict[str, Any]]:
    """Every row, printed as it is measured."""
    rows = []
    kernels = kernel_shapes()
    for size in FLAGS.sizes:
        # By height, width and channels, the first layer after conv1_1 that has them.
        layers: dict[tuple[int, int, int, int], str] = {}
        summary = summarize(*benchmark.exact_size("sizes", size))
        for row in summary[: LAYERS.index(DEEPEST) + 1]:
            if row.name.startswith("conv") and row.name != "conv1_1":
                layers.setdefault((*row.shape[:2], *kernels[row.name][2:]), row.name)
        found = [
            {"size": size, "layer": layer, **measure_layer(*shape)}
            for shape, layer in layers.items()
        ]
        benchmark.print_rows(f"3x3 convolutions of VGG-19 at {size}", found)
        rows += found
    return rows


def measure_layer(height: int, width: int, inputs: int, outputs: int) -> dict[str, Any]:
    """The row of one layer."""
    random = np.random.default_rng(0)

    def normal(*shape: int) -> jax.Array:
        return jax.numpy.asarray(random.standard_normal(shape), np.float32)

    kernel = normal(3, 3, inputs, outputs) / np.sqrt(9 * inputs)
    operands = normal(height, width, inputs), kernel
    cotangent = normal(height, width, outputs)

    def gradient(convolution: Callable[..., Any], activation: Any, kernel: Any) -> Any:
        return jax.vjp(lambda x: convolution(x, kernel), activation)[1](cotangent)[0]

    programs: dict[str, Callable[[], Any]] = {}
    for name, convolution in ALGORITHMS.items():
        backward = jax.jit(functools.partial(gradient, convolution))
        programs[name] = functools.partial(jax.jit(convolution), *operands)
        programs[f"{name} gradient"] = functools.partial(backward, *operands)
    results = {name: np.asarray(run()) for name, run in programs.items()}
    seconds = benchmark.timed_in_turns(programs, FLAGS.repeats)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    operations = 18 * height * width * inputs * outputs
    error = np.linalg.norm(results["winograd"] - results["direct"])
    mixed = jax.make_jaxpr(lambda a, k: conv3x3(a, k, "mixed"))(*operands)
    return {
        "shape": f"{height}x{width} {inputs}->{outputs}",
        **{f"{name} ms": 1e3 * median for name, median in medians.items()},
        **{f"{name} GFLOP/s": operations / medians[name] / 1e9 for name in ALGORITHMS},
        **benchmark.ratios(seconds["winograd"], seconds["direct"]),
        "error": float(error / np.linalg.norm(results["direct"])),
        "mixed takes": "winograd" if "custom_vjp" in str(mixed) else "direct",
    }


if __name__ == "__main__":
    benchmark.run_benchmark("kernels", __name__, __doc__, measure)
