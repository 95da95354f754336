"""What a run leaves in its folder: metrics.jsonl and run.h5.

``metrics.jsonl`` has a line per logged step; ``run.h5`` (schema ``nstjax.run/3``) holds
the same losses as arrays, with the snapshots and the last image in the network's units:

    attrs            schema, config (JSON)
    /log/step        i8 (T,)
    /log/<name>      f8 (T,)     total, content, style, tv, gradient_norm, seconds
    /log/content_layers, /log/style_layers   f8 (T, L), attribute ``layers``
    /snapshots/<step, six digits>   f4 (height, width, 3)
    /image           f4 (height, width, 3), attribute ``step``

``total`` is weighted; every other loss is not.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from nstjax.errors import InputError
from nstjax.io.atomic import write_atomically
from nstjax.io.config import START_AGAIN
from nstjax.io.hdf5 import Table, read_hdf5, write_hdf5
from nstjax.io.stored import Amount, Count, check_file, convert, damaged, decode
from nstjax.network.architecture import LAYERS
from nstjax.optimization.transfer import TransferInfo
from nstjax.whole_number import is_whole_number

METRICS = "metrics.jsonl"
RUN = "run.h5"
SCHEMA = "nstjax.run/3"
SCALARS = ("total", "content", "style", "tv", "gradient_norm", "seconds")
LAYER_GROUPS = ("content_layers", "style_layers")

MOST_METRICS_BYTES = 2**27
MOST_ROW_BYTES = 2**20

Row = dict[str, Any]


class LoggedStep(msgspec.Struct):
    """What every row of metrics.jsonl has."""

    step: Count
    seconds: Amount


class LoggedLosses(LoggedStep):
    """A row of a run's metrics.jsonl."""

    total: float
    content: float
    style: float
    tv: float
    gradient_norm: float
    content_layers: dict[str, float]
    style_layers: dict[str, float]


class RunAttributes(msgspec.Struct):
    """The attributes of run.h5, of whose config no more than a request is used."""

    config: str


class ImageAttributes(msgspec.Struct):
    """The attributes of its image."""

    step: Count


TABLES = {
    "log/step": Table("i8", ("rows",), bounds=(0, math.inf)),
    **{f"log/{name}": Table("f8", ("rows",)) for name in SCALARS},
    **{f"log/{group}": Table("f8", ("rows", group)) for group in LAYER_GROUPS},
    "snapshots/*": Table("f4", ("*height", "*width", 3), finite=True),
    "image": Table(
        "f4", ("height", "width", 3), finite=True, attributes=ImageAttributes
    ),
}


def metrics_rows(info: TransferInfo, first_step: int, seconds: float) -> list[Row]:
    """One row of plain numbers per step of ``info``, the layers by depth.

    Its leaves have a leading axis of steps; the last row is at ``seconds``.
    """
    losses = {
        "total": info.loss,
        **{name: getattr(info.terms, name) for name in ("content", "style", "tv")},
        "gradient_norm": info.gradient_norm,
    }
    by_layer = {group: getattr(info.terms, group) for group in LAYER_GROUPS}
    return [
        {
            "step": first_step + i,
            **{name: float(values[i]) for name, values in losses.items()},
            **{
                group: {name: float(found[name][i]) for name in LAYERS if name in found}
                for group, found in by_layer.items()
            },
            "seconds": round(seconds, 3),
        }
        for i in range(len(info.loss))
    ]


def append_metrics(folder: Path, rows: list[Row]) -> None:
    """Append rows to metrics.jsonl, all of them or none."""
    lines = _json_lines(rows).encode()
    with open(folder / METRICS, "ab", buffering=0) as file:
        end = file.tell()
        try:
            while lines:
                lines = lines[file.write(lines) :]
        except OSError:
            file.truncate(end)
            raise


def restart_metrics(
    folder: Path, before_step: int, kind: type[LoggedStep] = LoggedLosses
) -> list[Row]:
    """Cut metrics.jsonl back to what ``read_metrics`` returns, and return that."""
    rows = read_metrics(folder, before_step, kind)
    write_metrics(folder, rows)
    return rows


def read_metrics(
    folder: Path, before_step: int, kind: type[LoggedStep] = LoggedLosses
) -> list[Row]:
    """The rows of metrics.jsonl before a step, each of which must be of the kind.

    A last line that a killed run left unfinished is dropped with the rest.
    """
    path = folder / METRICS
    if not path.exists():
        return []
    rows: list[Row] = []
    check_file(path, START_AGAIN, MOST_METRICS_BYTES)
    with open(path, "rb") as file:
        # One by one: as a list, lines take many times the file's memory.
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            where = f"{path}, line {number},"
            if len(line) > MOST_ROW_BYTES:
                raise damaged(where, f"{len(line)} bytes", START_AGAIN)
            text = line.decode(errors="replace")
            row = decode(text, dict[str, Any], where, START_AGAIN)
            if convert(row, kind, where, START_AGAIN).step < before_step:
                rows.append(row)
    return rows


def write_metrics(folder: Path, rows: list[Row]) -> None:
    """Write metrics.jsonl anew, atomically."""
    write_atomically(folder / METRICS, _json_lines(rows))


def _json_lines(rows: list[Row]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def write_run(
    folder: Path,
    config: Mapping[str, Any],
    rows: list[Row],
    snapshots: Mapping[int, np.ndarray],
    image: np.ndarray,
    steps: int,
) -> None:
    """Write run.h5, whole or not at all, with images in the network's units."""
    attributes: dict[str, dict[str, Any]] = {
        "": {"config": json.dumps(config)},
        "image": {"step": steps},
    }
    values: dict[str, Any] = {
        f"log/{name}": [row[name] for row in rows] for name in ("step", *SCALARS)
    }
    for group in LAYER_GROUPS:
        layers = [name for name in LAYERS if any(name in row[group] for row in rows)]
        table = [[row[group].get(name, math.nan) for name in layers] for row in rows]
        values[f"log/{group}"] = np.reshape(table, (len(rows), len(layers)))
        attributes[f"log/{group}"] = {"layers": layers}
    values |= {f"snapshots/{step:06d}": snapshots[step] for step in sorted(snapshots)}
    values["image"] = image
    write_hdf5(folder / RUN, SCHEMA, TABLES, attributes, values)


class LoggedRun(NamedTuple):
    """What run.h5 holds; images [height, width, 3] are in the network's units."""

    config: dict[str, Any]  # what config.json held
    log: dict[str, np.ndarray]  # of each logged step, from "step" to "seconds"
    snapshots: dict[int, np.ndarray]  # by step
    image: np.ndarray  # the last one, after so many steps
    steps: int


def read_snapshots(folder: Path, through_step: int) -> dict[int, np.ndarray]:
    """The snapshots in run.h5 up to a step; none where there is no such file."""
    if not (folder / RUN).exists():
        return {}
    snapshots = read_run(folder).snapshots
    return {step: image for step, image in snapshots.items() if step <= through_step}


def read_run(folder: Path) -> LoggedRun:
    """Read run.h5; ``InputError``: there is none, or it is damaged."""
    path = folder / RUN
    if not path.exists():
        raise InputError(
            f"{folder} holds no {RUN}: give the --workdir of a run that has begun"
        )
    stored = read_hdf5(path, SCHEMA, TABLES, {"": RunAttributes}, START_AGAIN)
    text = stored.attributes[""].config
    config = decode(text, dict[str, Any], f"{path} config", START_AGAIN)
    snapshots = stored.below("snapshots")
    for name in snapshots:
        if not is_whole_number(name):
            raise damaged(path, f"snapshots/{name}: expected a step", START_AGAIN)
    log = stored.below("log")
    return LoggedRun(
        config=config,
        log={name: log[name] for name in ("step", *SCALARS)},
        snapshots={int(step): image for step, image in snapshots.items()},
        image=stored.tables["image"],
        steps=stored.attributes["image"].step,
    )
