"""Finding, reading and writing the network's params on disk."""

import hashlib
import os
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pooch
import safetensors
import safetensors.numpy
from jax.typing import ArrayLike

from nstjax.errors import InputError
from nstjax.io.atomic import atomic_path
from nstjax.vgg import CONV_LAYERS, Params

ENVIRONMENT_VARIABLE = "NSTJAX_WEIGHTS"
CONVERTED_SUFFIXES = (".h5", ".hdf5", ".mat")
# VGG-19's trunk has 80 MB, with its top 575 MB: anything larger is something else.
LARGEST_FILE_BYTES = 2**30


class LoadedParams(NamedTuple):
    """Params and where they come from.

    Attributes:
      params: the network, ``params["conv4_2"]["kernel"]`` ``[3, 3, in, out]`` and
        ``["bias"]`` ``[out]``, float32, for RGB input in 0..255 minus the mean.
      sha256: ``params_sha256`` of the params, the same whatever file they
        were read from.
      source: the path of the file.
    """

    params: Params
    sha256: str
    source: str


def default_weights_path() -> str:
    """Where ``python -m weights_convert`` leaves the weights for every later run."""
    return str(pooch.os_cache("nstjax") / "vgg19.safetensors")


def find_weights(path: str | None = None) -> str:
    """Find the weight file: as given, else ``$NSTJAX_WEIGHTS``, else the cached one.

    Args:
      path: the file, or None to look for it.

    Returns:
      The path of an existing file.

    Raises:
      InputError: there is no such file.
    """
    environment = os.environ.get(ENVIRONMENT_VARIABLE)
    if path:
        found, origin = path, "the weights given"
    elif environment:
        found, origin = environment, f"${ENVIRONMENT_VARIABLE}"
    else:
        found, origin = default_weights_path(), "the weights' usual place"
    if os.path.isfile(found):
        return found
    problem = "is a folder, not a file" if os.path.isdir(found) else "does not exist"
    raise InputError(
        f"no VGG-19 weights: {found} ({origin}) {problem}; "
        "run python -m weights_convert --download, "
        "or python -m weights_convert --input=FILE, or pass --weights=PATH"
    )


def load_params(path: str | None = None) -> Params:
    """Find and read the network; see ``find_weights``, ``read_params``.

    Raises:
      InputError: there is no weight file, or it is not the network's.
    """
    return read_params(find_weights(path)).params


def read_params(path: str | os.PathLike[str]) -> LoadedParams:
    """Read the network's params from a file.

    A ``.safetensors`` file may hold any widths, so that slimmer networks with VGG-19's
    layer names can be read as well; Keras' ``.h5`` and MatConvNet's ``.mat`` files are
    converted on the way and must be VGG-19 itself.

    Args:
      path: the file.

    Returns:
      The params, their hash and the path.

    Raises:
      InputError: the file cannot be read or is damaged, or is not such a network.
    """
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix in CONVERTED_SUFFIXES:
        # weights_convert imports nstjax: at the top, this would close a circle.
        from weights_convert import convert_file

        tensors = _flatten(convert_file(path)[0])
        sha256 = _tensors_sha256(tensors)
    elif suffix == ".safetensors":
        tensors, sha256 = _read_safetensors(path)
    else:
        raise InputError(
            f"{path} does not end in .safetensors, .h5, .hdf5 or .mat: "
            "pass a VGG-19 weight file"
        )
    params: Params = {layer: {} for layer in CONV_LAYERS}
    for name, tensor in tensors.items():
        layer, part = name.split("/")
        params[layer][part] = jnp.asarray(tensor)
    return LoadedParams(params, sha256, path)


def save_params(
    path: str | os.PathLike[str],
    params: Mapping[str, Mapping[str, ArrayLike]],
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Write params as float32 safetensors named ``conv1_1/kernel``, ``conv1_1/bias``.

    The file appears whole or not at all.

    Args:
      path: the file to write, or to replace.
      params: the network.
      metadata: what the file should say of itself; ``params_sha256`` is added.

    Returns:
      The params' hash.

    Raises:
      OSError: the file cannot be written.
    """
    path = os.fspath(path)
    tensors = _flatten(params)
    sha256 = _tensors_sha256(tensors)
    contents = safetensors.numpy.save(
        tensors, {**(metadata or {}), "params_sha256": sha256}
    )
    with atomic_path(path) as temporary:
        temporary.write_bytes(contents)
    return sha256


def params_sha256(params: Mapping[str, Mapping[str, ArrayLike]]) -> str:
    """The params' identity: SHA-256 over each tensor's name and float32 bytes.

    The order is the network's, a kernel before its bias; the bytes are little-endian.
    """
    return _tensors_sha256(_flatten(params))


def _tensor_names() -> list[str]:
    return [f"{layer}/{part}" for layer in CONV_LAYERS for part in ("kernel", "bias")]


def _flatten(params: Mapping[str, Mapping[str, ArrayLike]]) -> dict[str, np.ndarray]:
    return {
        f"{layer}/{part}": np.ascontiguousarray(params[layer][part], np.float32)
        for layer in CONV_LAYERS
        for part in ("kernel", "bias")
    }


def _tensors_sha256(tensors: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in _tensor_names():
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name], "<f4").data)
    return digest.hexdigest()


def _read_safetensors(path: str) -> tuple[dict[str, np.ndarray], str]:
    """The tensors and their hash, once everything about them has been checked."""
    try:
        if os.path.getsize(path) > LARGEST_FILE_BYTES:
            raise InputError(f"{path} is larger than 1 GiB: no VGG-19 weights are")
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            _check_shapes(
                path,
                {name: tuple(part.get_shape()) for name, part in slices.items()},
                {name: part.get_dtype() for name, part in slices.items()},
            )
            tensors = {name: file.get_tensor(name) for name in slices}
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not readable as a safetensors file, perhaps cut short "
            f"({error}): write it again with python -m weights_convert"
        ) from error
    sha256 = _tensors_sha256(tensors)
    if metadata.get("params_sha256", sha256) != sha256:
        raise InputError(
            f"{path} has the wrong hash, so the file is damaged: "
            "write it again with python -m weights_convert"
        )
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise InputError(
                f"{path}: {name} holds a number that is not finite: "
                "write the file again with python -m weights_convert"
            )
    return tensors, sha256


def _check_shapes(
    path: str, shapes: Mapping[str, tuple[int, ...]], dtypes: Mapping[str, str]
) -> None:
    """Refuse tensors that do not make VGG-19's chain of convolutions, of any width."""
    remedy = "pass a file that python -m weights_convert wrote"
    names = _tensor_names()
    for name in [*names, *shapes]:
        if name not in shapes:
            raise InputError(f"{path} has no tensor {name}: {remedy}")
        if name not in names:
            raise InputError(f"{path} has an unknown tensor {name}: {remedy}")
        if dtypes[name] != "F32":
            raise InputError(f"{path}: {name} is {dtypes[name]}, not F32: {remedy}")
    channels_in = 3
    for layer in CONV_LAYERS:
        kernel, bias = shapes[f"{layer}/kernel"], shapes[f"{layer}/bias"]
        channels_out = kernel[-1] if kernel else 0
        if kernel != (3, 3, channels_in, channels_out) or channels_out == 0:
            raise InputError(
                f"{path}: {layer}/kernel has the wrong shape: expected "
                f"[3, 3, {channels_in}, out], got {list(kernel)}; {remedy}"
            )
        if bias != (channels_out,):
            raise InputError(
                f"{path}: {layer}/bias has the wrong shape: expected "
                f"[{channels_out}], got {list(bias)}; {remedy}"
            )
        channels_in = channels_out
