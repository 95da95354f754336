"""What a training tells while it lasts: a log, TensorBoard's events, sample sheets."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nstjax.feedforward.training.objective import TrainingTerms
from nstjax.feedforward.training.update import TrainingInfo
from nstjax.images.contact_sheet import contact_sheet
from nstjax.io.extras import Extras

SHEET_PHOTOS = 4

Row = dict[str, Any]


def step_row(info: TrainingInfo) -> Row:
    """One update's losses and gradient norm, as JSON has them."""
    info = jax.device_get(info)
    row = {"total": float(info.loss), **term_row(info.terms)}
    row["gradient_norm"] = float(info.gradient_norm)
    if info.adversarial is not None:
        row["generator"], row["discriminator"] = map(float, info.adversarial)
    return row


def mean_row(rows: Sequence[Row]) -> Row:
    """Means over some updates."""
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def term_row(terms: TrainingTerms) -> Row:
    """The terms of a loss, unweighted."""
    return {name: float(value) for name, value in terms._asdict().items()}


@contextlib.contextmanager
def event_writer(
    folder: Path | None, first_step: int, extras: Extras
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """What writes rows of the log as TensorBoard's events to a folder, if there is one.

    Events of ``first_step`` and later ones, of a training that was killed, are hidden.
    After a failure no more are written.
    """
    if folder is None:
        yield lambda row: None
        return
    # SummaryWriter writes in a thread, which dies of a failure and then blocks us.
    from tensorboardX import RecordWriter
    from tensorboardX.proto.event_pb2 import Event, SessionLog
    from tensorboardX.summary import scalar

    writer: Any = None
    name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
    with extras.writing("TensorBoard's events"):
        folder.mkdir(exist_ok=True)
        writer = RecordWriter(str(folder / name))

    def put(step: int, *events: dict[str, Any]) -> None:
        nonlocal writer
        if writer is None:
            return
        with extras.writing("TensorBoard's events"):
            for event in events:
                message = Event(step=step, wall_time=time.time(), **event)
                writer.write(message.SerializeToString())
            writer.flush()
            return
        # What its buffer still holds would fail again.
        with contextlib.suppress(OSError):
            writer.close()
        writer = None

    def write(row: Mapping[str, Any]) -> None:
        values = {name: value for name, value in row.items() if name != "step"}
        for style, terms in values.pop("validation", {}).items():
            values |= {f"validation/{style}/{name}": terms[name] for name in terms}
        put(row["step"], *({"summary": scalar(*item)} for item in values.items()))

    start = SessionLog(status=SessionLog.START)
    put(first_step, {"file_version": "brain.Event:2"}, {"session_log": start})
    try:
        yield write
    finally:
        if writer is not None:
            with extras.writing("TensorBoard's events"):
                writer.close()


def sample_sheet(
    photos: np.ndarray, outputs: Sequence[np.ndarray], names: Sequence[str]
) -> np.ndarray:
    """Some photos, a row each, and what every style makes of them, sRGB in 0..1."""
    columns = [photos, *(np.clip(output, 0, 1) for output in outputs)]
    rows = range(min(SHEET_PHOTOS, len(photos)))
    pictures = [column[row] for row in rows for column in columns]
    labels = ["photo", *names] * len(rows)
    return contact_sheet(pictures, labels, len(columns), photos.shape[1])
