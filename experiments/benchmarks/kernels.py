"""Times the 3×3 convolutions of VGG-19, each by the algorithms there are.

    python -m experiments.benchmarks.kernels --sizes=400x300,512x512

``direct`` is XLA's float32 convolution, ``winograd`` that of
``nstjax.network.convolution`` with
bfloat16 products; ``input gradient`` is what each costs backward. GFLOP/s count the
products of the direct convolution for both. They take turns.
"""

import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from experiments.benchmarks.flag_values import exact_size, no_arguments
from experiments.benchmarks.tables import print_rows, write_json
from nstjax.commands.launcher import run_command
from nstjax.commands.path_flags import define_path
from nstjax.network.convolution import conv3x3, direct_convolution, winograd_convolution
from nstjax.network.vgg import LAYERS, kernel_shapes, summarize

USAGE = __doc__ or ""
DEEPEST = "conv5_1"
ALGORITHMS: dict[str, Callable[..., Any]] = {
    "direct": direct_convolution,
    "winograd": winograd_convolution,
}

_SIZES = flags.DEFINE_list("sizes", "400x300,512x512", "Each WIDTHxHEIGHT.")
_REPEATS = flags.DEFINE_integer("repeats", 7, "Timed rounds.", lower_bound=1)
_OUTPUT = define_path("output", None, "JSON file for the numbers.")


def layer_shapes(height: int, width: int) -> dict[str, tuple[int, int, int, int]]:
    """{layer: (height, width, in, out)} of the convolutions after conv1_1."""
    kernels = kernel_shapes()
    found: dict[tuple[int, int, int, int], str] = {}
    for row in summarize(height, width)[: LAYERS.index(DEEPEST) + 1]:
        if row.name.startswith("conv") and row.name != "conv1_1":
            shape = (*row.shape[:2], *kernels[row.name][2:])
            found.setdefault(shape, row.name)
    return {name: shape for shape, name in found.items()}


def input_gradient(convolution: Callable[..., Any]) -> Callable[..., Any]:
    """(activation, kernel, cotangent) -> gradient with respect to the activation."""
    return lambda activation, kernel, cotangent: jax.vjp(
        lambda activation: convolution(activation, kernel), activation
    )[1](cotangent)[0]


def compiled(operands: Sequence[Any], cotangent: Any) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    programs: dict[str, Callable[[], Any]] = {}
    for name, convolution in ALGORITHMS.items():
        forward = jax.jit(convolution)
        backward = jax.jit(input_gradient(convolution))
        programs[name] = functools.partial(forward, *operands)
        programs[f"{name} gradient"] = functools.partial(backward, *operands, cotangent)
    return programs


def measure(size: str, repeats: int) -> list[dict[str, Any]]:
    """Rows of one picture size."""
    height, width = exact_size("sizes", size)
    random = np.random.default_rng(0)
    rows = []
    for layer, shape in layer_shapes(height, width).items():
        rows_, columns, channels_in, channels_out = shape

        def normal(*shape: int) -> Any:
            return jax.numpy.asarray(random.standard_normal(shape), np.float32)

        operands = (
            normal(rows_, columns, channels_in),
            normal(3, 3, channels_in, channels_out) / np.sqrt(9 * channels_in),
        )
        cotangent = normal(rows_, columns, channels_out)
        programs = compiled(operands, cotangent)
        results = {name: np.asarray(run()) for name, run in programs.items()}
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(repeats):
            for name, run in programs.items():
                start = time.perf_counter()
                jax.block_until_ready(run())
                seconds[name].append(time.perf_counter() - start)
        medians = {name: statistics.median(all_) for name, all_ in seconds.items()}
        operations = 18 * rows_ * columns * channels_in * channels_out
        error = results["winograd"] - results["direct"]
        rows.append(
            {
                "size": size,
                "layer": layer,
                "shape": f"{rows_}x{columns} {channels_in}->{channels_out}",
                **{f"{name} ms": 1e3 * value for name, value in medians.items()},
                "direct GFLOP/s": operations / medians["direct"] / 1e9,
                "winograd GFLOP/s": operations / medians["winograd"] / 1e9,
                "ratio": statistics.median(
                    np.divide(seconds["winograd"], seconds["direct"]).tolist()
                ),
                "error": float(
                    np.linalg.norm(error) / np.linalg.norm(results["direct"])
                ),
                "mixed takes": _taken(*operands),
            }
        )
    return rows


def _taken(activation: Any, kernel: Any) -> str:
    program = str(
        jax.make_jaxpr(lambda a, k: conv3x3(a, k, "mixed"))(activation, kernel)
    )
    return "winograd" if "custom_vjp" in program else "direct"


def tables(sizes: Sequence[str], repeats: int) -> list[dict[str, Any]]:
    """Every row, printed as it is measured."""
    rows = []
    for size in sizes:
        found = measure(size, repeats)
        print_rows(f"3x3 convolutions of VGG-19 at {size}", found)
        rows += found
    return rows


def main(arguments: Sequence[str]) -> int:
    """Measure and print; returns the exit status."""
    no_arguments(arguments)
    write_json(_OUTPUT.value, tables(_SIZES.value, _REPEATS.value))
    return 0


if __name__ == "__main__":
    run_command("kernels", __name__, USAGE, main)
