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
from nstjax.presets.preset import INITS, Preset, customize, nested, settings_of
from nstjax.problem.pyramid import Scale

OTHER_VERSION = "was it changed, or written by another version of nstjax?"
# What decides the problem, beside the preset; the rest of a request is how it is run.
PROBLEM = (
    "preset_name",
    "weights",
    "seed",
    "style_blend_weights",
    "style_image_layers",
    "style_regions",
    "region_weights",
    "transparency",
)
PICTURES = (
    "content",
    "styles",
    "fine_style",
    "content_mask",
    "style_masks",
    "stylize_mask",
)


class RequestRecord(msgspec.Struct, kw_only=True):
    """What config.json says of a request; the preset is a ``Preset``."""

    preset: Preset
    preset_name: Text
    weights: Text
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
    style_blend_weights: tuple[Amount, ...] | None
    style_image_layers: tuple[tuple[Text, ...] | None, ...] | None
    style_regions: tuple[Text, ...] | None
    region_weights: tuple[Amount, ...] | None
    content: Text | None
    styles: tuple[Text, ...]
    fine_style: Text | None
    content_mask: Text | tuple[Text, ...] | None
    style_masks: tuple[Text | tuple[Text, ...] | None, ...] | None
    stylize_mask: Text | None
    transparency: Transparency = "flatten"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One run as somebody asked for it; ``content`` None is the demo.

    A mask is one map of colors or a tuple of grey masks. The fields are the command's
    flags, read and checked one by one.
    """

    content: str | None
    styles: Sequence[str]
    preset: Preset
    preset_name: str
    weights: str
    output: Path
    seed: int
    fine_style: str | None
    style_blend_weights: tuple[float, ...] | None
    style_image_layers: tuple[tuple[str, ...] | None, ...] | None
    content_mask: str | tuple[str, ...] | None
    style_masks: tuple[str | tuple[str, ...] | None, ...] | None
    style_regions: tuple[str, ...] | None
    region_weights: tuple[float, ...] | None
    stylize_mask: str | None
    snapshots: tuple[int, ...] = ()
    workdir: Path | None = None
    resume: bool = False
    checkpoint_every: int = 100
    log_every: int = 1
    quality: int = 95
    preview_seconds: float = 5.0
    quiet: bool = False
    mesh: Mesh | None = None
    tile: int | None = None
    memory_gb: float | None = None
    no_upscale: bool = False
    transparency: Transparency = "flatten"


def run_settings(
    request: Request, scales: Sequence[Scale], weights_sha256: str
) -> dict[str, Any]:
    """All that decides the picture; what a resumed run must have in common."""
    preset = settings_of(request.preset)
    return {
        "preset": request.preset_name,
        **{name: preset[name] for name in preset if name != "montage"},
        "scales": scales,
        "seed": request.seed,
        "style_blend_weights": request.style_blend_weights,
        "style_image_layers": request.style_image_layers,
        "style_regions": request.style_regions,
        "region_weights": request.region_weights,
        # None as in runs that were written before there was a choice.
        "transparency": None if request.transparency == "flatten" else "keep",
        "weights_sha256": weights_sha256,
        "image_sha256": input_sha256(request),
    }


def input_sha256(request: Request) -> dict[str, str]:
    """The hash of every picture that goes in, by what it is."""
    return {name: file_sha256(path) for name, path in input_paths(request).items()}


def input_paths(request: Request) -> dict[str, str]:
    """Every picture that goes in, by what it is."""
    styles = enumerate(request.styles, start=1)
    paths: dict[str, str | tuple[str, ...] | None] = {
        "content": request.content,
        "init": None
        if request.preset.image.init in INITS
        else request.preset.image.init,
        "fine_style": request.fine_style,
        "content_mask": request.content_mask,
        "stylize_mask": request.stylize_mask,
        **{f"style_{number}": path for number, path in styles},
    }
    masks = enumerate(request.style_masks or (), start=1)
    paths |= {f"style_mask_{number}": path for number, path in masks}
    single = {name: path for name, path in paths.items() if isinstance(path, str)}
    return single | {
        f"{name}_{number}": path
        for name, several in paths.items()
        if isinstance(several, tuple)
        for number, path in enumerate(several, start=1)
    }


def run_config(
    request: Request, settings: dict[str, Any], network: LoadedParams
) -> dict[str, Any]:
    """What config.json holds: the settings, and what they were run with."""
    return {
        "settings": settings,
        "request": request_record(request),
        **environment(network),
    }


def environment(network: LoadedParams) -> dict[str, Any]:
    """Where something was run: the network's file, versions and device."""
    packages = ("nstjax", "jax", "jaxlib", "optax", "numpy", "pillow")
    return {
        "weights": network.source
        if network.advice
        else os.path.abspath(network.source),
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
    record = {name: getattr(request, name) for name in PROBLEM}
    record |= {name: _absolute(getattr(request, name)) for name in PICTURES}
    preset = settings_of(request.preset)
    if preset["init"] not in INITS:
        preset["init"] = _absolute(preset["init"])
    return record | {"preset": preset}


def recorded_request(record: dict[str, Any], folder: Path) -> Request:
    """The request that ``request_record`` recorded, after a way through JSON.

    Args:
      record: from a run's config.json.
      folder: of that run.

    Raises:
      InputError: it is none, or another version's.
    """
    where = f"the request in {folder / CONFIG}"
    settings = convert(record.get("preset"), dict[str, Any], where, OTHER_VERSION)
    given = convert(
        record | {"preset": nested(settings)}, RequestRecord, where, OTHER_VERSION
    )
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
    return Request(
        **{name: getattr(given, name) for name in (*PROBLEM, *PICTURES)},
        preset=preset,
        output=folder / "stylized.png",
        workdir=folder,
    )


def mixed_style_path(request: Request) -> Path:
    """Where the style image that fine and coarse style make is kept."""
    if request.workdir:
        return request.workdir / "style.png"
    return request.output.with_name(f"{request.output.stem}.nstjax-style.png")


def beside(path: Path, what: str) -> Path:
    """The path of the same folder and suffix with ``_what`` added to its name."""
    return path.with_name(f"{path.stem}_{what}{path.suffix}")


def _absolute(given: Any) -> Any:
    """Paths made absolute, in whatever tuples they stand."""
    if isinstance(given, list | tuple):
        return tuple(map(_absolute, given))
    return given and os.path.abspath(given)


def file_sha256(path: str) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
