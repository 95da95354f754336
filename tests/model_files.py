"""Models whose files tests write, read and damage."""

import functools
import pathlib

import numpy as np
import pytest
import safetensors.numpy
from feedforward_networks import drawn_network, run
from flax import nnx
from safetensors import safe_open

from nstjax.errors import InputError
from nstjax.feedforward.networks import model_file
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    DescentArchitecture,
    TransformArchitecture,
)
from nstjax.feedforward.networks.descent import DescentNet
from nstjax.feedforward.networks.model_file import Encoder, StyleModel, read_model
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
    "descent": (),
}


def make_model(kind: str) -> StyleModel:
    """A network none of whose numbers is what a new one has."""
    # A test may change its own.
    network = nnx.clone(_network(kind))
    encoder = None if STYLES[kind] else ENCODER
    return StyleModel(network, STYLES[kind], encoder, CARD)


@functools.cache
def _network(kind: str) -> nnx.Module:
    if kind == "adain":
        architecture = AdaINArchitecture(encoder_channels=8, channels=(8, 6, 4))
    elif kind == "descent":
        architecture = DescentArchitecture(channels=(4, 6), residual_blocks=1)
    else:
        architecture = TransformArchitecture(
            **NARROW, normalization=kind, styles=len(STYLES[kind])
        )
    uniform = np.random.default_rng(0).uniform
    network = drawn_network(
        architecture, lambda _, shape: np.float32(uniform(0.05, 0.3, shape))
    )
    network.eval()
    return network


def output(model: StyleModel) -> np.ndarray:
    random = np.random.default_rng(1)
    if isinstance(model.network, DescentNet):
        inputs = [random.random((1, 8, 8, 3), np.float32) for _ in range(3)]
    elif model.encoder is not None:
        inputs = [random.random((1, 2, 3, 8), np.float32)]
    else:
        rows = np.linspace(0.2, 1, len(model.styles), dtype=np.float32)
        inputs = [random.random((1, 18, 16, 3), np.float32), rows[None]]
    return np.asarray(run(model.network, *inputs))


def parts(path: pathlib.Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    return safetensors.numpy.load_file(path), metadata


def resave(path: pathlib.Path, tensors: dict, metadata: dict) -> None:
    """Write a file anew, with the hash of what it says now."""
    del metadata["sha256"]
    metadata["sha256"] = model_file._sha256(tensors, metadata)
    safetensors.numpy.save_file(tensors, path, metadata)


def assert_refused(path: pathlib.Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
