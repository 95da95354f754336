"""A trained feed-forward network on disk, schema ``nstjax.model/1``: safetensors.

    contract/0/convolution/kernel, ...  f4 or f2, each parameter by its path
    styles/mean, ...                    the same, of paintings that are named styles
    metadata                            schema, sha256, and as JSON architecture,
                                        styles, encoder, card

The hash is over all of it, f2 as f4.
"""

import dataclasses
import functools
import importlib.resources
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors.numpy
from flax import nnx

from nstjax.errors import InputError
from nstjax.feedforward.networks.architecture import from_record, to_record
from nstjax.feedforward.networks.descent import (
    STYLE_LAYERS,
    DescentNet,
    PaintingStyle,
)
from nstjax.feedforward.networks.networks import Network, TransformNet, make_network
from nstjax.io.atomic import write_atomically
from nstjax.io.stored import Positive, Text, decode, open_tensors, tensors_sha256
from nstjax.network.architecture import CONV_LAYERS
from nstjax.network.vgg import Pool

SCHEMA = "nstjax.model/1"
BUNDLED = ("painterly", "arbitrary")
MODELS = importlib.resources.files("nstjax") / "models"
LARGEST_FILE_BYTES = 2**28
LONGEST_NAME = 100  # bytes of a style's name; a file's may have 255
ADVICE = f"give a model that nstjax has trained, or one of {', '.join(BUNDLED)}"
STYLES = "styles/"
REMEDY = "fetch or write the file again"


@dataclasses.dataclass(frozen=True)
class Encoder:
    """The VGG-19 features that the decoder of an arbitrary-style model undoes.

    Of learned descent, which has an encoder of its own, what that was at first.
    ``sha256`` is ``nstjax.io.weights.params_sha256`` of its params; ``scales`` are what
    ``nstjax.network.layer_scales.scale_layers`` multiplies the layers' outputs by.
    """

    sha256: Text
    pool: Pool
    scales: dict[str, Positive]


# Of the metadata, in the order of a ``StyleModel``.
PARTS: dict[str, Any] = {
    "architecture": dict,
    "styles": tuple[Text, ...],
    "encoder": Encoder | None,
    "card": dict,
}


class StyleModel(NamedTuple):
    """A trained network and what is to be known of it.

    ``styles`` are a name for each row of the tables of γ and β, or of ``paintings``,
    which learned descent may have; without names a model takes any painting. All but a
    ``TransformNet`` have an encoder; ``card`` is what the file says of itself.
    """

    network: Network
    styles: tuple[str, ...]
    encoder: Encoder | None
    card: dict[str, Any]
    paintings: PaintingStyle | None = None

    @property
    def titles(self) -> dict[str, str]:
        """What the card says of each style, where it has such a table."""
        titles = self.card.get("styles")
        named = titles.items() if isinstance(titles, dict) else ()
        return {name: title for name, title in named if isinstance(title, str)}


def write_model(
    path: str | os.PathLike[str], model: StyleModel, *, half_precision: bool = False
) -> str:
    """Write a model, whole or not at all; the same model gives the same bytes.

    Half precision rounds to float16 all that belongs to no normalization. Returns the
    SHA-256 of all that the file says, with the tensors as they will be read.
    """
    _check_description(model)
    tensors = network_tensors(model.network) | _painting_tensors(model.paintings)
    for name, tensor in tensors.items():
        if half_precision and "/norm/" not in name:
            # _check_finite reports what float16 cannot hold.
            with np.errstate(over="ignore"):
                tensors[name] = tensor.astype(np.float16)
    _check_finite(path, tensors)
    metadata = {
        "architecture": json.dumps(to_record(model.network.architecture)),
        "card": json.dumps(model.card, allow_nan=False),
        "encoder": json.dumps(model.encoder and dataclasses.asdict(model.encoder)),
        "schema": SCHEMA,
        "styles": json.dumps(model.styles),
    }
    sha256 = _sha256(tensors, metadata)
    contents = _contents(tensors, {**metadata, "sha256": sha256})
    if len(contents) > LARGEST_FILE_BYTES:
        raise InputError(
            f"{path} would be larger than 256 MiB: choose fewer channels or half "
            "precision"
        )
    write_atomically(path, contents)
    return sha256


def read_model(path: str | os.PathLike[str]) -> StyleModel:
    """Read a model that ``write_model`` wrote, its weights float32, for inference.

    No tensor is read or made before the file's header fits its architecture.
    """
    path = os.fspath(path)
    with open_tensors(path, ADVICE, LARGEST_FILE_BYTES) as file:
        metadata = file.metadata() or {}
        model = _described(path, metadata)
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        _check_tensors(path, model, slices)
        tensors = {name: file.get_tensor(name) for name in slices}
    if metadata.pop("sha256", None) != _sha256(tensors, metadata):
        raise InputError(f"{path} has the wrong hash, so it is damaged: {REMEDY}")
    _check_finite(path, tensors)
    for name, variable in _variables(model.network).items():
        # jnp.asarray would compile a program for each shape.
        variable.set_value(jax.device_put(np.float32(tensors[name])))
    model.network.eval()
    if isinstance(model.network, DescentNet) and model.styles:
        whole = {name: np.float32(tensor) for name, tensor in tensors.items()}
        model = model._replace(paintings=_paintings(model.network, whole))
    return model


def bundled_model(name: str) -> StyleModel:
    """A model that comes with nstjax; ``InputError`` if there is none of that name."""
    if name not in BUNDLED:
        raise InputError(
            f"no bundled model is called {name!r}: choose one of {', '.join(BUNDLED)}"
        )
    with importlib.resources.as_file(MODELS / f"{name}.safetensors") as path:
        return read_model(path)


def network_tensors(network: Network) -> dict[str, np.ndarray]:
    """Parameters and running statistics by path, float32."""
    return {
        name: np.ascontiguousarray(variable[...], np.float32)
        for name, variable in _variables(network).items()
    }


def _variables(network: nnx.Module) -> dict[str, nnx.Variable[Any]]:
    """The network's variables themselves, not copies."""
    flat = nnx.to_flat_state(nnx.state(network, (nnx.Param, nnx.BatchStat)))
    return {"/".join(map(str, names)): variable for names, variable in flat}


def _sha256(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """Over each tensor's name and float32 bytes, little-endian, and the metadata."""
    whole = {name: tensor.astype("<f4") for name, tensor in sorted(tensors.items())}
    return tensors_sha256(whole, json.dumps(metadata, sort_keys=True))


def _contents(tensors: dict[str, np.ndarray], metadata: Mapping[str, str]) -> bytes:
    # safetensors would write metadata in an order that changes from call to call.
    contents = safetensors.numpy.save(tensors)
    end = 8 + int.from_bytes(contents[:8], "little")
    entries = {"__metadata__": metadata, **json.loads(contents[8:end])}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + contents[end:]


def _described(path: str, metadata: Mapping[str, str]) -> StyleModel:
    """The model with shapes in place of its weights."""
    schema = metadata.get("schema", "")
    if not schema.startswith("nstjax.model/"):
        raise InputError(f"{path} is no feed-forward model of nstjax: {ADVICE}")
    if schema != SCHEMA:
        raise InputError(
            f"{path} has schema {schema!r}, and this nstjax reads {SCHEMA}: "
            "install the nstjax that wrote it"
        )
    architecture, *described = (
        decode(metadata.get(name, ""), kind, f"{path}: its {name}", REMEDY)
        for name, kind in PARTS.items()
    )
    try:
        made = functools.partial(make_network, from_record(architecture))
        model = StyleModel(nnx.eval_shape(made), *described)
        _check_description(model, reading=True)
    except InputError as error:
        problem = f"{path} does not describe a model ({error}): {REMEDY}"
        raise InputError(problem) from error
    return model


def _check_description(model: StyleModel, *, reading: bool = False) -> None:
    """Refuse style names or an encoder that do not fit the network."""
    network, encoder = model.network, model.encoder
    rows = 0 if model.paintings is None else len(model.paintings.mean)
    if isinstance(network, TransformNet):
        rows = network.architecture.styles
    elif isinstance(network, DescentNet) and reading:
        # The paintings of a file are checked with its tensors.
        rows = len(model.styles)
    if len(model.styles) != rows:
        raise InputError(
            f"the network has {rows} styles, but {len(model.styles)} have a name: "
            "name each"
        )
    for name in model.styles:
        # --style=wave:0.3,scream:0.7 has to find it, and results are named after it: a
        # model that was sent around must not choose their folder.
        printable = name.isprintable() and name == name.strip() not in ("", ".", "..")
        unique = model.styles.count(name) == 1 and not set(name) & set(",:/\\")
        if not (printable and unique and len(name.encode()) <= LONGEST_NAME):
            raise InputError(
                f"{name!r} cannot name a style: choose unique names of at most "
                f"{LONGEST_NAME} bytes, without commas, colons, slashes, backslashes "
                "and blanks around them, and neither . nor .."
            )
    if (encoder is None) != isinstance(network, TransformNet):
        raise InputError("a network for any painting needs an encoder, others none")
    if encoder is not None and set(encoder.scales) != set(CONV_LAYERS):
        raise InputError(
            f"an encoder needs scales of {CONV_LAYERS[0]}..{CONV_LAYERS[-1]}, one each"
        )


def _painting_tensors(paintings: PaintingStyle | None) -> dict[str, np.ndarray]:
    """The arrays of styles by name."""
    if paintings is None:
        return {}
    grams = {
        f"{STYLES}grams/{scale}/{layer}": gram
        for scale, of_scale in enumerate(paintings.grams)
        for layer, gram in of_scale.items()
    }
    moments = {"mean": paintings.mean, "deviation": paintings.deviation}
    named = {**{f"{STYLES}{name}": each for name, each in moments.items()}, **grams}
    return {
        name: np.ascontiguousarray(each, np.float32) for name, each in named.items()
    }


def _paintings(network: DescentNet, arrays: Mapping[str, Any]) -> PaintingStyle:
    """Of each of ``_painting_tensors``' names what stands under it."""
    return PaintingStyle(
        arrays[f"{STYLES}mean"],
        arrays[f"{STYLES}deviation"],
        tuple(
            {layer: arrays[f"{STYLES}grams/{scale}/{layer}"] for layer in STYLE_LAYERS}
            for scale in range(len(network.architecture.steps))
        ),
    )


def _style_shapes(model: StyleModel, slices: Mapping[str, Any]) -> dict[str, list[int]]:
    """What shapes the arrays of styles should have; Gram matrices are square."""
    count = len(model.styles)
    if not (count and isinstance(model.network, DescentNet)):
        return {}
    shapes = {f"{STYLES}{name}": [count, 3] for name in ("mean", "deviation")}
    for scale in range(len(model.network.architecture.steps)):
        for layer in STYLE_LAYERS:
            name = f"{STYLES}grams/{scale}/{layer}"
            found = slices[name].get_shape() if name in slices else [0]
            shapes[name] = [count, found[-1], found[-1]] if found else [count, 0, 0]
    return shapes


def _check_tensors(path: str, model: StyleModel, slices: Mapping[str, Any]) -> None:
    shapes = {
        name: list(each.shape) for name, each in _variables(model.network).items()
    }
    shapes |= _style_shapes(model, slices)
    for name in [*shapes, *slices]:
        shape = slices[name].get_shape() if name in slices else "none"
        wanted = shapes.get(name, "none")
        if shape != wanted:
            raise InputError(
                f"{path} is a checkpoint of another architecture: {name} has shape "
                f"{shape}, expected {wanted}; {ADVICE}"
            )
        dtype = slices[name].get_dtype()
        if dtype not in ("F16", "F32"):
            raise InputError(f"{path}: {name} is {dtype}, not F16 or F32; {ADVICE}")


def _check_finite(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray]
) -> None:
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise InputError(
                f"{path}: {name} holds a number that is not finite in {tensor.dtype}: "
                "train the network again, or do without half precision"
            )
