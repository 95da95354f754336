"""Models whose files tests write, read and damage."""

import functools
import pathlib

import jax
import numpy as np
import pytest
import safetensors.numpy
from feedforward_networks import run
from flax import nnx
from safetensors import safe_open

from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    TransformArchitecture,
)
from nstjax.feedforward.networks.model_file import Encoder, StyleModel, read_model
from nstjax.feedforward.networks.networks import make_network
from nstjax.network.architecture import CONV_LAYERS

CARD = {
    "license": "CC BY 4.0",
    "styles": [{"title": "神奈川沖浪裏", "painter": "Hokusai", "year": 1831}],
    "settings": {"style_weight": 1e-7, "steps": None},
}
ENCODER = Encoder(
    "ab" * 32, "max", {layer: 1 / (3 + i) for i, layer in enumerate(CONV_LAYERS)}
)
NARROW = {"channels": (4, 6, 8), "residual_blocks": 1}
STYLES = {
    "instance": ("wave",),
    "batch": ("wave",),
    "conditional": ("wave", "The Scream", "naïve"),
    "adain": (),
}


def make_model(kind: str) -> StyleModel:
    """A network none of whose numbers is what a new one has."""
    # A test may change its own.
    network = nnx.clone(_network(kind))
    encoder = ENCODER if kind == "adain" else None
    return StyleModel(network, STYLES[kind], encoder, CARD)


@functools.cache
def _network(kind: str) -> nnx.Module:
    if kind == "adain":
        architecture = AdaINArchitecture(encoder_channels=8, channels=(8, 6, 4))
    else:
        architecture = TransformArchitecture(
            **NARROW, normalization=kind, styles=len(STYLES[kind])
        )
    network = nnx.eval_shape(lambda: make_network(architecture))
    random = np.random.default_rng(0)
    for _, variable in nnx.to_flat_state(nnx.state(network)):
        values = random.uniform(0.05, 0.3, variable.shape)
        # Without a program for each shape, as jnp.asarray would compile it.
        variable.set_value(jax.device_put(np.float32(values)))
    network.eval()
    return network


def output(model: StyleModel) -> np.ndarray:
    random = np.random.default_rng(1)
    if model.encoder is not None:
        inputs = [random.random((1, 2, 3, 8), np.float32)]
    else:
        rows = np.linspace(0.2, 1, len(model.styles), dtype=np.float32)
        inputs = [random.random((1, 18, 16, 3), np.float32), rows[None]]
    return np.asarray(run(model.network, *inputs))


def parts(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    return safetensors.numpy.load_file(path), metadata


def assert_refused(path: pathlib.Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
