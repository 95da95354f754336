"""Small models of either kind, none of whose numbers is what a new one has."""

import functools

import jax
import numpy as np
import reference
from feedforward_networks import drawn_network

from nstjax.feedforward.inference import style_specifications
from nstjax.feedforward.inference.restyle import Restyler, make_restyler
from nstjax.feedforward.networks.architecture import (
    AdaINArchitecture,
    DescentArchitecture,
    TransformArchitecture,
)
from nstjax.feedforward.networks.model_file import Encoder, StyleModel
from nstjax.images.resizing import resize
from nstjax.io.weights import LoadedParams, params_sha256
from nstjax.network.architecture import CONV_LAYERS

STYLES = ("wave", "scream", "lilies")
PAINTERLY = TransformArchitecture(
    channels=(4, 5, 6),
    residual_blocks=1,
    normalization="conditional",
    styles=len(STYLES),
    normalize_output=True,
    bias=False,
    pixels="0..1",
    output="sigmoid",
)


def filled(architecture, scale):
    """A network with random kernels of that scale, biases, γ, β and statistics."""
    random = np.random.default_rng(0)

    def draw(name, shape):
        values = random.standard_normal(shape)
        return np.float32(scale * values if name == "kernel" else 0.5 + 0.1 * values)

    network = drawn_network(architecture, draw)
    network.eval()
    return network


# Made once for a process: nobody changes them.
@functools.cache
def painterly() -> StyleModel:
    card = {"styles": {"wave": "The Great Wave, Hokusai, 1831"}}
    return StyleModel(filled(PAINTERLY, 0.3), STYLES, None, card)


@functools.cache
def encoder() -> LoadedParams:
    params = reference.random_params(channels=(4, 4, 4, 6, 4))
    return LoadedParams(params, params_sha256(params), "narrow")


@functools.cache
def arbitrary() -> StyleModel:
    architecture = AdaINArchitecture(encoder_channels=6, channels=(5, 4, 3))
    scales = {layer: 0.5 + 0.1 * i for i, layer in enumerate(CONV_LAYERS)}
    described = Encoder(encoder().sha256, "max", scales)
    return StyleModel(filled(architecture, 0.15), (), described, {})


@functools.cache
def descending() -> StyleModel:
    """A network of learned descent."""
    architecture = DescentArchitecture(
        channels=(4, 5),
        residual_blocks=1,
        steps=(1, 2),
        encoder_channels=(4, 4, 5, 6),
    )
    return StyleModel(filled(architecture, 0.15), (), arbitrary().encoder, {})


@functools.cache
def descending_by_name() -> StyleModel:
    """The same with two paintings."""
    plain = restyler(descending())
    styles = [plain.style_of(picture(48, 56, seed)) for seed in (1, 3)]
    paintings = jax.tree.map(lambda *leaves: np.stack(leaves), *styles)
    return descending()._replace(styles=("wave", "lilies"), paintings=paintings)


def stand_for_bundled(monkeypatch):
    """Let small models be those that come with nstjax; returns {name: model}."""
    bundled = {"painterly": painterly(), "arbitrary": arbitrary()}
    load = {"bundled_model": bundled.__getitem__, "load_network": lambda _: encoder()}
    for name, function in load.items():
        monkeypatch.setattr(style_specifications, name, function)
    return bundled


def restyler(model: StyleModel) -> Restyler:
    return make_restyler(model, encoder)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colors, as photos have them."""
    coarse = np.random.default_rng(seed).random((6, 6, 3), np.float32)
    return resize(coarse, height, width, "bilinear")
