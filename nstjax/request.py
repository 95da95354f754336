"""One run as somebody asked for it, and what its config.json says of it."""

import dataclasses
import hashlib
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from nstjax.control.pyramid import Scale
from nstjax.io.weights import LoadedParams
from nstjax.preset import INITS, Preset


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
    snapshots: tuple[int, ...]
    workdir: Path | None
    resume: bool
    checkpoint_every: int
    log_every: int
    quality: int
    preview_seconds: float
    quiet: bool


def run_settings(
    request: Request, scales: Sequence[Scale], weights_sha256: str
) -> dict[str, Any]:
    """All that decides the picture; what a resumed run must have in common."""
    preset = dataclasses.asdict(request.preset)
    return {
        "preset": request.preset_name,
        **{name: preset[name] for name in preset if name != "montage"},
        "scales": scales,
        "seed": request.seed,
        "style_blend_weights": request.style_blend_weights,
        "style_image_layers": request.style_image_layers,
        "style_regions": request.style_regions,
        "region_weights": request.region_weights,
        "weights_sha256": weights_sha256,
        "image_sha256": {
            name: _file_sha256(path) for name, path in input_paths(request).items()
        },
    }


def input_paths(request: Request) -> dict[str, str]:
    """Every picture that goes in, by what it is."""
    styles = enumerate(request.styles, start=1)
    paths: dict[str, str | tuple[str, ...] | None] = {
        "content": request.content,
        "init": None if request.preset.init in INITS else request.preset.init,
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


def run_config(settings: dict[str, Any], network: LoadedParams) -> dict[str, Any]:
    """What config.json holds: the settings, and what they were run with."""
    packages = ("nstjax", "jax", "jaxlib", "optax", "numpy", "pillow")
    return {
        "settings": settings,
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


def _file_sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
