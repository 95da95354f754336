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
from nstjax.commands.path_flags import define_path
from nstjax.network.architecture import LAYERS, kernel_shapes, summarize
from nstjax.network.convolution import conv3x3, direct_convolution, winograd_convolution

DEEPEST = "conv5_1"
ALGORITHMS: dict[str, Callable[..., Any]] = {
    "direct": direct_convolution,
    "winograd": winograd_convolution,
}
Shape = tuple[int, int, int, int]  # height, width, channels in and out

flags.DEFINE_list("sizes", "400x300,512x512", "Each WIDTHxHEIGHT.")
flags.DEFINE_integer("repeats", 7, "Timed rounds.", lower_bound=1)
define_path("output", None, "JSON file for the numbers.")

FLAGS = flags.FLAGS


def measure() -> list[dict[str, Any]]:
    """Every row, printed as it is measured."""
    rows = []
    for size in FLAGS.sizes:
        found = [
            {"size": size, "layer": layer, **measure_layer(shape)}
            for layer, shape in layer_shapes(
                *benchmark.exact_size("sizes", size)
            ).items()
        ]
        benchmark.print_rows(f"3x3 convolutions of VGG-19 at {size}", found)
        rows += found
    return rows


def layer_shapes(height: int, width: int) -> dict[str, Shape]:
    """The shapes of the convolutions after conv1_1, by the first layer of each."""
    kernels = kernel_shapes()
    found: dict[Shape, str] = {}
    for row in summarize(height, width)[: LAYERS.index(DEEPEST) + 1]:
        if row.name.startswith("conv") and row.name != "conv1_1":
            shape = (*row.shape[:2], *kernels[row.name][2:])
            found.setdefault(shape, row.name)
    return {name: shape for shape, name in found.items()}


def measure_layer(shape: Shape) -> dict[str, Any]:
    """The row of one layer."""
    height, width, channels_in, channels_out = shape
    random = np.random.default_rng(0)

    def normal(*shape: int) -> jax.Array:
        return jax.numpy.asarray(random.standard_normal(shape), np.float32)

    operands = (
        normal(height, width, channels_in),
        normal(3, 3, channels_in, channels_out) / np.sqrt(9 * channels_in),
    )
    cotangent = normal(height, width, channels_out)
    programs: dict[str, Callable[[], Any]] = {}
    for name, convolution in ALGORITHMS.items():
        backward = jax.jit(functools.partial(input_gradient, convolution))
        programs[name] = functools.partial(jax.jit(convolution), *operands)
        programs[f"{name} gradient"] = functools.partial(backward, *operands, cotangent)
    results = {name: np.asarray(run()) for name, run in programs.items()}
    seconds = benchmark.timed_in_turns(programs, FLAGS.repeats)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    operations = 18 * height * width * channels_in * channels_out
    error = np.linalg.norm(results["winograd"] - results["direct"])
    return {
        "shape": f"{height}x{width} {channels_in}->{channels_out}",
        **{f"{name} ms": 1e3 * median for name, median in medians.items()},
        **{f"{name} GFLOP/s": operations / medians[name] / 1e9 for name in ALGORITHMS},
        **benchmark.ratios(seconds["winograd"], seconds["direct"]),
        "error": float(error / np.linalg.norm(results["direct"])),
        "mixed takes": algorithm_taken(*operands),
    }


def input_gradient(
    convolution: Callable[..., Any], activation: Any, kernel: Any, cotangent: Any
) -> Any:
    """The cotangent's gradient with respect to the activation."""
    return jax.vjp(lambda x: convolution(x, kernel), activation)[1](cotangent)[0]


def algorithm_taken(activation: Any, kernel: Any) -> str:
    """Which algorithm ``--precision=mixed`` takes."""
    program = jax.make_jaxpr(lambda a, k: conv3x3(a, k, "mixed"))(activation, kernel)
    return "winograd" if "custom_vjp" in str(program) else "direct"


if __name__ == "__main__":
    benchmark.run_benchmark("kernels", __name__, __doc__, measure)
