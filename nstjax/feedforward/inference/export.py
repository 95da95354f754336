"""Trained networks for other programs: ONNX, or StableHLO as ``jax.export`` writes it.

A file takes pictures of any height, width and number, and holds all that it needs.
"""

import contextlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from nstjax.errors import InputError
from nstjax.feedforward.inference.export_graphs import Graph, make_graphs
from nstjax.feedforward.inference.restyle import Restyler
from nstjax.io.atomic import atomic_path, check_results, check_writable

TOLERANCE = 1e-4
# The second one is no multiple of anything.
CHECK_SIZES = ((64, 96), (119, 87))
CHECK_BATCH = 2
# ONNX Runtime reads it since 1.14, of February 2023.
OPSET = 18
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")
Run = Callable[..., list[np.ndarray]]


def export_model(path: str | os.PathLike[str], restyler: Restyler) -> dict[Path, float]:
    """Write a model for other programs, checked against the network, or write nothing.

    A file is ``.onnx``, or ``.stablehlo`` for ``jax.export.deserialize``. Named styles
    make one, from ``image`` [batch, height, width, 3], sRGB in 0..1, and
    ``style_weights`` [batch, styles] to ``restyled``, of the image's shape; a network
    of one style takes no weights. Any painting makes two. NAME takes ``image``, and
    ``style_mean`` and ``style_deviation`` [batch, channels], which NAME_style computes
    of ``painting``, but for the last rows and columns that 8 does not divide.

    Returns {file: largest difference from the network's outputs}.
    """
    path = Path(path)
    formats = {".onnx": (_to_onnx, _load_onnx), ".stablehlo": (_to_hlo, _load_hlo)}
    if path.suffix not in formats:
        raise InputError(
            f"{path} has no suffix of an export format: end it with one of "
            f"{' '.join(formats)}"
        )
    convert, load = formats[path.suffix]
    graphs = {
        path.with_stem(path.stem + ending): graph
        for ending, graph in make_graphs(restyler).items()
    }
    for file in graphs:
        check_writable(file)
    check_results(graphs.keys() - {path})
    notes = {"styles": restyler.model.styles, "card": restyler.model.card}
    differences = {}
    with contextlib.ExitStack() as files:
        for file, graph in graphs.items():
            temporary = files.enter_context(atomic_path(file))
            temporary.write_bytes(convert(graph, notes))
            differences[file] = _difference(load(temporary), graph)
            if not differences[file] <= TOLERANCE:
                raise InputError(
                    f"{file} would differ from the network by up to "
                    f"{differences[file]:.1e}, more than {TOLERANCE:g}: not written; "
                    "try the other format"
                )
    return differences


def _difference(run: Run, graph: Graph) -> float:
    """The largest from JAX at two sizes, over the largest output where above 1."""
    random = np.random.default_rng(0)
    worst = 0.0
    for size in CHECK_SIZES:
        height, width = (max(side, graph.least_side) for side in size)
        shapes = graph.shapes(CHECK_BATCH, height, width)
        inputs = [random.random(shape, np.float32) for shape in shapes]
        found = run(**dict(zip(graph.inputs, inputs, strict=True)))
        for output, wanted in zip(found, jax.jit(graph.function)(*inputs), strict=True):
            largest = max(1.0, float(jnp.abs(wanted).max()))
            # NumPy's maximum keeps what is no number.
            worst = np.maximum(worst, np.abs(output - wanted).max() / largest)
    return float(worst)


def _to_hlo(graph: Graph, notes: Mapping[str, Any]) -> bytes:
    exported = jax.export.export(jax.jit(graph.function), platforms=PLATFORMS)
    return bytes(exported(*graph.symbolic_inputs()).serialize())


def _load_hlo(path: Path) -> Run:
    exported = jax.export.deserialize(bytearray(path.read_bytes()))
    return lambda **inputs: exported.call(*inputs.values())


def _to_onnx(graph: Graph, notes: Mapping[str, Any]) -> bytes:
    with _quiet():
        jax2onnx, onnx, _ = _onnx_packages()
        model = jax2onnx.to_onnx(
            graph.function,
            graph.symbolic_inputs(),
            model_name="nstjax",
            opset=OPSET,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
        )
    notes = {**notes, "least_side": graph.least_side}
    onnx.helper.set_model_props(
        model, {name: json.dumps(notes[name]) for name in notes}
    )
    return model.SerializeToString()


def _load_onnx(path: Path) -> Run:
    _, _, onnxruntime = _onnx_packages()
    options = onnxruntime.SessionOptions()
    # What goes wrong is raised: 4 keeps it from being printed too.
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    return lambda **inputs: session.run(None, inputs)


def _onnx_packages() -> tuple[Any, Any, Any]:
    try:
        import jax2onnx
        import onnx
        import onnxruntime
    except ModuleNotFoundError as error:
        raise InputError(
            f"ONNX needs {error.name}, which is not installed: run pip install "
            "'nstjax[export]', or write a .stablehlo"
        ) from error
    return jax2onnx, onnx, onnxruntime


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without jax2onnx's notes on how it goes about its work."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)
