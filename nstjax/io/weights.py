"""Finding, reading and writing the network's params on disk."""

import importlib.resources
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import pooch
import safetensors.numpy
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.io.atomic import write_atomically
from nstjax.io.paths import StrPath
from nstjax.io.stored import check_file, open_tensors, tensors_sha256
from nstjax.network.architecture import architecture_of, kernel_shapes
from nstjax.network.random_weights import random_params
from nstjax.network.vgg import Params

ENVIRONMENT_VARIABLE = "NSTJAX_WEIGHTS"
CONVERTED_SUFFIXES = (".h5", ".hdf5", ".mat")
BUNDLED = importlib.resources.files("nstjax") / "models" / "vgg19_slim.safetensors"
ADVICE = "for VGG-19 itself run python -m weights_convert --download"
NO_FILE = f"{ADVICE}, or give auto, slim, random or the path of a file"
# VGG-19's trunk has 80 MB, with its top 575 MB: anything larger is something else.
LARGEST_FILE_BYTES = 2**30
WRITE_AGAIN = "write it again with python -m weights_convert"
PARTS = ("kernel", "bias")


class LoadedParams(NamedTuple):
    """Params and where they come from."""

    params: Params
    sha256: str  # of the params, the same whatever their file
    source: str  # the path of the file, or what they are instead
    advice: str = ""  # how to get VGG-19 itself, where this is not it


def default_weights_path(network: str = "VGG-19") -> str:
    """Where ``python -m weights_convert`` leaves a network for every later run."""
    name = network.lower().replace("-", "")
    return str(pooch.os_cache("nstjax") / f"{name}.safetensors")


def find_vgg19() -> str | None:
    """VGG-19's file: ``$NSTJAX_WEIGHTS``, else the cached one, else None."""
    environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if environment:
        check_file(environment, f"${ENVIRONMENT_VARIABLE} names it; {NO_FILE}")
        return environment
    usual = default_weights_path()
    return usual if os.path.isfile(usual) else None


def load_network(weights: str = "auto", *, seed: int = 0) -> LoadedParams:
    """``load_params`` with where the network comes from."""
    if weights == "slim":
        return _bundled()
    if weights == "random":
        params, source = random_params(seed), f"random (seed {seed})"
        return LoadedParams(params, params_sha256(params), source, ADVICE)
    if weights not in ("auto", "vgg19"):
        check_file(weights, NO_FILE)
        return read_params(weights)
    path = find_vgg19()
    if path is None:
        if weights == "auto":
            return _bundled()
        raise InputError(
            f"no VGG-19 weights: {default_weights_path()} does not exist and "
            f"${ENVIRONMENT_VARIABLE} is not set; {ADVICE}, or choose slim, "
            "the bundled network"
        )
    network = read_params(path)
    if weights == "vgg19":
        _check_vgg19(network)
    return network


def load_params(weights: str = "auto", *, seed: int = 0) -> Params:
    """The network: VGG-19 if it is found, else the bundled smaller one.

    Args:
      weights: "auto" for that, "vgg19" for VGG-19 alone, "slim" for the bundled
        network, "random" for VGG-19's layers with random weights, or a file's path.
      seed: of random weights.

    Raises:
      InputError: there is no such file, or it is not such a network.
    """
    return load_network(weights, seed=seed).params


def read_params(path: StrPath) -> LoadedParams:
    """Read the network's params from a file.

    A ``.safetensors`` file may hold any widths of VGG-19's or VGG-16's layers; Keras'
    ``.h5`` and MatConvNet's ``.mat`` files must be one of the two themselves.
    """
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix in CONVERTED_SUFFIXES:
        # weights_convert imports nstjax: at the top, this would close a circle.
        from weights_convert import convert_file

        tensors, recorded = _flatten(convert_file(path)[0]), None
    elif suffix == ".safetensors":
        with open_tensors(path, WRITE_AGAIN, LARGEST_FILE_BYTES) as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            names = _check_shapes(path, slices)
            tensors = {name: file.get_tensor(name) for name in names}
            recorded = (file.metadata() or {}).get("params_sha256")
    else:
        raise InputError(
            f"{path} does not end in .safetensors, .h5, .hdf5 or .mat: "
            "pass a weight file of VGG-19 or VGG-16"
        )
    sha256 = _tensors_sha256(tensors)
    if recorded not in (None, sha256):
        raise InputError(
            f"{path} has the wrong hash, so the file is damaged: {WRITE_AGAIN}"
        )
    params: Params = {}
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise InputError(
                f"{path}: {name} holds a number that is not finite: {WRITE_AGAIN}"
            )
        layer, part = name.split("/")
        # jnp.asarray would compile a program for each shape.
        params.setdefault(layer, {})[part] = jax.device_put(np.float32(tensor))
    return LoadedParams(params, sha256, path)


def save_params(
    path: StrPath,
    params: Mapping[str, Mapping[str, ArrayLike]],
    metadata: Mapping[str, str] | None = None,
    *,
    half_precision: bool = False,
) -> str:
    """Write params as safetensors named ``conv1_1/kernel``, ``conv1_1/bias``.

    The file appears whole or not at all.

    Args:
      path: the file to write, or to replace.
      params: the network.
      metadata: what the file should say of itself; ``params_sha256`` is added.
      half_precision: whether to round to float16 and halve the file, not float32.

    Returns:
      The hash of the params as they will be read.

    Raises:
      OSError: the file cannot be written.
    """
    tensors = _flatten(params)
    if half_precision:
        tensors = {name: tensor.astype(np.float16) for name, tensor in tensors.items()}
    sha256 = _tensors_sha256(tensors)
    metadata = {**(metadata or {}), "params_sha256": sha256}
    write_atomically(path, safetensors.numpy.save(tensors, metadata))
    return sha256


def params_sha256(params: Mapping[str, Mapping[str, ArrayLike]]) -> str:
    """The params' identity: SHA-256 over each tensor's name and float32 bytes."""
    return _tensors_sha256(_flatten(params))


def _bundled() -> LoadedParams:
    with importlib.resources.as_file(BUNDLED) as path:
        network = read_params(path)
    return network._replace(source="vgg19-slim (bundled)", advice=ADVICE)


def _check_vgg19(network: LoadedParams) -> None:
    for layer, shape in kernel_shapes().items():
        found = network.params.get(layer, {"bias": np.empty(0)})["bias"].size
        if found != shape[-1]:
            raise InputError(
                f"{network.source} is not VGG-19: {layer} has {found} channels, "
                f"VGG-19 {shape[-1]}; {ADVICE}, or pass --weights={network.source}"
            )


def _flatten(params: Mapping[str, Mapping[str, ArrayLike]]) -> dict[str, np.ndarray]:
    return {
        f"{layer}/{part}": np.ascontiguousarray(params[layer][part], np.float32)
        for layer in sorted(params)
        for part in PARTS
    }


def _tensors_sha256(tensors: Mapping[str, np.ndarray]) -> str:
    return tensors_sha256(
        {name: tensor.astype("<f4", copy=False) for name, tensor in tensors.items()}
    )


def _check_shapes(path: str, tensors: Mapping[str, Any]) -> list[str]:
    """The names of VGG's chain of convolutions, of any width; others are refused."""
    layers = architecture_of({name.partition("/")[0] for name in tensors}).convolutions
    names = [f"{layer}/{part}" for layer in layers for part in PARTS]
    remedy = "pass a file that python -m weights_convert wrote"
    for name in (*names, *tensors):
        if name not in tensors:
            raise InputError(f"{path} has no tensor {name}: {remedy}")
        if name not in names:
            raise InputError(f"{path} has an unknown tensor {name}: {remedy}")
        if (dtype := tensors[name].get_dtype()) not in ("F16", "F32"):
            raise InputError(f"{path}: {name} is {dtype}, not F16 or F32: {remedy}")
    shapes = {name: list(tensors[name].get_shape()) for name in names}
    channels: list[int] = [3]
    for layer in layers:
        before, channels = channels, shapes[f"{layer}/kernel"][-1:]
        wanted = {"kernel": [3, 3, *before, *channels], "bias": channels}
        for part, expected in wanted.items():
            found = shapes[f"{layer}/{part}"]
            if found != expected or 0 in found:
                raise InputError(
                    f"{path}: {layer}/{part} has the wrong shape: expected {expected}, "
                    f"got {found}; {remedy}"
                )
    return names
