"""What ``experiments.benchmarks.feedforward`` has done: a network, photos, a style."""

from typing import Any, NamedTuple

import jax
import numpy as np

from nstjax.errors import InputError
from nstjax.feedforward.inference.restyle import make_restyler
from nstjax.feedforward.networks.adain import EPSILON
from nstjax.feedforward.networks.architecture import Architecture, TransformArchitecture
from nstjax.feedforward.networks.model_file import (
    BUNDLED,
    bundled_model,
    network_tensors,
    read_model,
)
from nstjax.feedforward.networks.networks import make_network
from nstjax.images.resizing import resize
from nstjax.io.weights import load_network

# That of the bundled model.
PAINTERLY = TransformArchitecture(
    width=0.5,
    normalization="conditional",
    styles=8,
    normalize_output=True,
    bias=False,
    upsampling="bilinear",
    pixels="0..1",
    output="sigmoid",
)
# What is written in PyTorch for comparison has these of PAINTERLY.
FIXED_FIELDS = ("padding", "pixels", "output")


class Task(NamedTuple):
    """What every worker is given, as plain data.

    Attributes:
      architecture: of the network.
      tensors: its parameters by path.
      vgg: params of arbitrary style's encoder, or in training of the network that
        compares.
      style: weights of the styles, [styles], or for arbitrary style a painting's mean
        and variance, [channels] each; not used in training.
      threads: how many PyTorch uses.
      images: photos, sRGB in 0..1, [batch, height, width, 3].
      paintings: one for each style if the network is trained, likewise.
      precision: float32, or in inference bfloat16 with statistics in float32.
    """

    architecture: Architecture
    tensors: dict[str, np.ndarray]
    vgg: dict[str, dict[str, np.ndarray]]
    style: Any
    threads: int
    images: np.ndarray = np.empty((0, 0, 0, 3), np.float32)
    paintings: np.ndarray | None = None
    precision: str = "float32"


def read_task(model: str, painting: np.ndarray, weights: str, threads: int) -> Task:
    """A model and a style for it, without pictures.

    Args:
      model: a bundled model's name, a file, or "random" for painterly's architecture.
      painting: arbitrary style, sRGB in 0..1, [height, width, 3].
      weights: the encoder of arbitrary style, see ``nstjax.io.weights.load_network``.
      threads: how many PyTorch uses.

    Raises:
      InputError: there is no such model, or none of its kind for PyTorch.
    """
    if model == "random":
        tensors = network_tensors(make_network(PAINTERLY))
        rng = np.random.default_rng(0)
        for name in tensors:
            if "/norm/" in name:
                shape = tensors[name].shape
                tensors[name] = tensors[name] + 0.3 * rng.standard_normal(shape, "f4")
        return Task(PAINTERLY, tensors, {}, first_of(PAINTERLY.styles), threads)
    loaded = bundled_model(model) if model in BUNDLED else read_model(model)
    architecture, tensors = loaded.network.architecture, network_tensors(loaded.network)
    if isinstance(architecture, TransformArchitecture):
        other = any(
            getattr(architecture, field) != getattr(PAINTERLY, field)
            for field in FIXED_FIELDS
        )
        transposed = architecture.upsampling not in ("nearest", "bilinear")
        if architecture.normalization == "batch" or transposed or other:
            raise InputError(
                f"{model} is of another kind than painterly and arbitrary: only those "
                "are written in PyTorch here"
            )
        return Task(architecture, tensors, {}, first_of(architecture.styles), threads)
    restyler = make_restyler(loaded, lambda: load_network(weights))
    mean, deviation = as_numpy(restyler.style_of(painting))
    style = (mean, np.square(deviation) - EPSILON)
    return Task(architecture, tensors, as_numpy(restyler.encoder), style, threads)


def first_of(styles: int) -> np.ndarray:
    """Weights of the first style alone."""
    return np.eye(styles, dtype=np.float32)[0]


def shifted(picture: np.ndarray, count: int, height: int, width: int) -> np.ndarray:
    """As many different pictures, [count, height, width, 3]."""
    picture = resize(picture, height, width)
    shifts = np.arange(count) * width // count
    return np.stack([np.roll(picture, shift, axis=1) for shift in shifts])


def as_numpy(tree: Any) -> Any:
    """The same, to be sent to another process."""
    return jax.tree.map(np.asarray, tree)
