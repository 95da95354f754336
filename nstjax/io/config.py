"""config.json: what a run was asked for, and whether another may go on from it."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from nstjax.errors import InputError
from nstjax.io.atomic import atomic_path
from nstjax.io.stored import Count, Text, convert, read_record, short_json

CONFIG = "config.json"
START_AGAIN = "start again in an empty --workdir"
# What a longer run has other than the shorter one that it goes on from.
GROWING = ("steps", "pyramid_steps", "scales")


class Settings(msgspec.Struct):
    """What is used of the settings of a run, a sweep or a training, where it is there.

    The rest is compared and told, whatever it is.
    """

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
    with atomic_path(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json, of which the fields of ``Config`` are as they should be.

    Raises:
      InputError: there is none, or it is damaged.
    """
    path = folder / CONFIG
    if not path.exists():
        raise InputError(
            f"{folder} holds no run ({CONFIG} is missing): give another folder, or "
            "start it without --resume"
        )
    config = read_record(path, dict[str, Any], START_AGAIN)
    convert(config, Config, str(path), START_AGAIN)
    return config


def differences(
    before: Mapping[str, Any], now: Mapping[str, Any], left_out: Collection[str] = ()
) -> list[str]:
    """What a stored mapping and a new one differ in: ["beta was 1.0, is 7.0"]."""
    # Tuples are lists in JSON.
    now = json.loads(json.dumps(now))
    return [
        f"{name} was {short_json(before.get(name))}, is {short_json(now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if name not in left_out and before.get(name) != now.get(name)
    ]


def check_resumable(folder: Path, settings: dict[str, Any]) -> None:
    """Raise ``InputError`` unless the run in the folder had the same settings.

    The last scale's steps may have grown: a longer run has the same beginning.

    Args:
      folder: of the run.
      settings: of a transfer, with ``scales``: [height, width, first step, last step]
        of each.
    """
    before = read_config(folder)["settings"]
    now = json.loads(json.dumps(settings))
    longer = _same_beginning(before.get("scales", []), now.get("scales", []))
    changed = differences(before, now, GROWING if longer else ())
    if changed:
        raise InputError(
            f"the run in {folder} had other settings ({'; '.join(changed)}): resume it "
            "with the same flags or choose another --workdir"
        )


def _same_beginning(before: list[list[int]], now: list[list[int]]) -> bool:
    if not now or len(before) != len(now) or before[:-1] != now[:-1]:
        return False
    return before[-1][:3] == now[-1][:3] and before[-1][3] <= now[-1][3]
