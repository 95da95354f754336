"""One run as somebody asked for it, and what its config.json says of it."""

import dataclasses
import hashlib
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import jax
import msgspec
from jax.sharding import Mesh

from nstjax.errors import InputError
from nstjax.images.resizing import Size, check_rule
from nstjax.io.config import CONFIG
from nstjax.io.stored import Amount, Text, convert, damaged
from nstjax.io.transparency import Transparency
from nstjax.io.weights import LoadedParams
from nstjax.presets.preset import INITS, Preset
from nstjax.presets.settings import customize, nested, settings_of
from nstjax.problem.pyramid import Scale
from nstjax.runs.outputs import Outputs

OTHER_VERSION = "was it changed, or written by another version of nstjax?"
# Fields that are paths of pictures; of some, one path or a tuple of them.
PICTURES = (
    "content", "styles", "fine_style", "content_mask", "style_masks", "stylize_mask",
)  # fmt: skip
Paths = Text | tuple[Text, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ControlFiles:
    """What ``nstjax.read_controls`` takes, with files as its masks."""

    content_mask: Paths | None
    style_masks: tuple[Paths | None, ...] | None
    style_regions: tuple[Text, ...] | None
    region_weights: tuple[Amount, ...] | None
    stylize_mask: Text | None
    style_image_layers: tuple[tuple[Text, ...] | None, ...] | None
    style_blend_weights: tuple[Amount, ...] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordedRequest:
    """What config.json says of a request, beside its controls."""

    content: Text | None
    styles: tuple[Text, ...]
    fine_style: Text | None
    preset: Preset
    preset_name: Text
    weights: Text
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    transparency: Transparency = "flatten"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request(RecordedRequest):
    """One run as somebody asked for it; ``content`` None is the demo.

    The fields are the command's flags, read and checked one by one.
    """

    controls: ControlFiles
    outputs: Outputs
    resume: bool = False
    mesh: Mesh | None = None
    tile: int | None = None
    memory_gb: float | None = None
    no_upscale: bool = False


def run_settings(
    request: Request, scales: Sequence[Scale], weights_sha256: str
) -> dict[str, Any]:
    """All that decides the picture; what a resumed run must have in common."""
    settings = settings_of(request.preset) | dataclasses.asdict(request.controls)
    for name in ("montage", "content_mask", "style_masks", "stylize_mask"):
        del settings[name]
    return settings | {
        "preset": request.preset_name,
        "scales": scales,
        "seed": request.seed,
        # None as in runs that were written before there was a choice.
        "transparency": None if request.transparency == "flatten" else "keep",
        "weights_sha256": weights_sha256,
        "image_sha256": {
            name: file_sha256(path) for name, path in input_paths(request).items()
        },
    }


def input_paths(request: Request) -> dict[str, str]:
    """Every picture that goes in, by what it is."""
    init, controls = request.preset.image.init, request.controls
    style_masks = controls.style_masks or ()
    given = {
        "content": request.content,
        "init": None if init in INITS else init,
        "fine_style": request.fine_style,
        "content_mask": controls.content_mask,
        "stylize_mask": controls.stylize_mask,
        "style": tuple(request.styles),
        **{f"style_mask_{number}": mask for number, mask in enumerate(style_masks, 1)},
    }
    paths: dict[str, str] = {}
    for name, path in given.items():
        if isinstance(path, tuple):
            paths |= {f"{name}_{number}": each for number, each in enumerate(path, 1)}
        elif path is not None:
            paths[name] = path
    return paths


def environment(network: LoadedParams) -> dict[str, Any]:
    """Where something was run: the network's file, versions and device."""
    packages = ("nstjax", "jax", "jaxlib", "optax", "numpy", "pillow")
    weights = network.source
    return {
        "weights": weights if network.advice else os.path.abspath(weights),
        "weights_advice": network.advice,
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "device": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
    }


def request_record(request: Request) -> dict[str, Any]:
    """What a request's problem is made of, as JSON data, its paths absolute."""
    fields = dataclasses.fields(RecordedRequest)
    record = {field.name: getattr(request, field.name) for field in fields}
    record |= dataclasses.asdict(request.controls)
    record |= {name: _absolute(record[name]) for name in PICTURES}
    preset = settings_of(request.preset)
    if preset["init"] not in INITS:
        preset["init"] = _absolute(preset["init"])
    return record | {"preset": preset}


def recorded_request(record: dict[str, Any], folder: Path) -> Request:
    """The request that ``request_record`` recorded in config.json of a run's folder."""
    where = f"the request in {folder / CONFIG}"
    settings = convert(record.get("preset"), dict[str, Any], where, OTHER_VERSION)
    given = convert(
        record | {"preset": nested(settings)}, RecordedRequest, where, OTHER_VERSION
    )
    controls = convert(record, ControlFiles, where, OTHER_VERSION)
    unknown = settings.keys() - settings_of(given.preset)
    if unknown:
        raise damaged(where, f"unknown setting {min(unknown)}", OTHER_VERSION)
    try:
        for size in (given.preset.image.size, given.preset.image.style_size):
            if isinstance(size, Size):
                check_rule(size)
        preset = customize(given.preset)
    except InputError as error:
        raise damaged(where, error, OTHER_VERSION) from error
    outputs = Outputs(result=folder / "stylized.png", workdir=folder)
    fields = vars(given) | {"preset": preset}
    return Request(**fields, controls=controls, outputs=outputs)


def _absolute(given: Any) -> Any:
    """Paths made absolute, in whatever tuples they stand."""
    if isinstance(given, list | tuple):
        return tuple(map(_absolute, given))
    return given and os.path.abspath(given)


def file_sha256(path: str) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
