"""config.json: what a run was asked for, and whether another may go on from it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from nstjax.errors import InputError
from nstjax.io.atomic import check_results, write_atomically
from nstjax.io.stored import Count, Text, convert, read_record, short_json

CONFIG = "config.json"
START_AGAIN = "start again in an empty --workdir"


class Settings(msgspec.Struct):
    """What is used of the settings of a run; the rest is only compared and told."""

    weights_sha256: str = ""
    image_sha256: dict[str, str] = {}
    scales: list[tuple[Count, Count, Count, Count]] = []


class Config(msgspec.Struct):
    """What is used of config.json; a run has a request, a sweep its chunks' size."""

    settings: Settings
    request: dict[str, Any] | None = None
    weights: Text = ""
    lanes_per_chunk: Annotated[int, msgspec.Meta(ge=1)] | None = None


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json, atomically."""
    write_atomically(folder / CONFIG, json.dumps(config, indent=2) + "\n")


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json, of which the fields of ``Config`` are as they should be."""
    path = folder / CONFIG
    if not path.exists():
        raise InputError(
            f"{folder} holds no run ({CONFIG} is missing): give the folder of one that "
            "has begun"
        )
    config = read_record(path, dict[str, Any], START_AGAIN)
    convert(config, Config, str(path), START_AGAIN)
    return config


def has_begun(
    folder: Path,
    settings: dict[str, Any],
    written: Iterable[Path],
    inside: Iterable[Path] = (),
) -> bool:
    """Whether a folder holds something with these settings to go on with.

    Its config.json, the first file there, tells it from a person's folder. Nothing that
    is written, or inside it, may be a link, or be there in a new folder.
    """
    written = list(written)
    check_results([folder / CONFIG, *written, *inside])
    if (folder / CONFIG).exists():
        check_resumable(folder, settings)
        return True
    check_results(written, new_in=folder)
    return False


def check_resumable(folder: Path, settings: dict[str, Any]) -> None:
    """Raise ``InputError`` unless the run in the folder had the same settings.

    A longer run has the same beginning: the last step of the last of the ``scales``,
    [height, width, first step, last step], may have grown.
    """
    before, now = read_config(folder)["settings"], plain(settings)
    if before.get("command") != now.get("command"):
        raise InputError(f"{folder} holds another run: choose another --workdir")
    if _same_beginning(before.get("scales", []), now.get("scales", [])):
        for name in ("steps", "pyramid_steps", "scales"):
            before.pop(name, None)
            now.pop(name, None)
    if before.keys() != now.keys():
        raise InputError(f"{folder} is of another version of nstjax: {START_AGAIN}")
    check_same(
        before,
        now,
        f"the run in {folder} had other settings",
        "resume it with the same flags or choose another --workdir",
    )


def check_same(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    problem: str,
    remedy: str,
    most: int | None = None,
) -> None:
    """Raise ``InputError`` with the settings that differ, all or only the first."""
    changed = [
        f"{name} was {short_json(before.get(name))}, is {short_json(now.get(name))}"
        for name in sorted(
            before.keys() | now.keys(), key=lambda x: (not x.startswith("flags"), x)
        )
        if before.get(name) != now.get(name)
    ]
    if most and len(changed) > most:
        changed[most:] = [f"and {len(changed) - most} more"]
    if changed:
        raise InputError(f"{problem} ({'; '.join(changed)}): {remedy}")


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they come back from a file of JSON: tuples are lists there."""
    return json.loads(json.dumps(settings))


def _same_beginning(before: list[list[int]], now: list[list[int]]) -> bool:
    if not now or len(before) != len(now) or before[:-1] != now[:-1]:
        return False
    return before[-1][:3] == now[-1][:3] and before[-1][3] <= now[-1][3]
