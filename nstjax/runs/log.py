"""The losses of a run as it goes on: metrics.jsonl, with config.json before it."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from nstjax.io.config import write_config
from nstjax.io.extras import Extras
from nstjax.io.run_log import Row, append_metrics, metrics_rows, write_metrics
from nstjax.optimization.transfer import TransferInfo
from nstjax.problem.pyramid import Scale
from nstjax.runs.outputs import Outputs
from nstjax.runtime.processes import is_first_process


@dataclasses.dataclass
class Log:
    """The rows of a run's log, written to its working folder if it has one.

    Attributes:
      config: what config.json holds.
      step: how many updates the image has had.
      rows: of the logged steps so far, those of a resumed run included.
    """

    outputs: Outputs
    config: dict[str, Any]
    scales: Sequence[Scale]
    extras: Extras
    step: int = 0
    rows: list[Row] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        seconds_before = self.rows[-1]["seconds"] if self.rows else 0.0
        self._started = time.monotonic() - seconds_before
        self._rows_written: int | None = None

    def add(self, info: TransferInfo) -> None:
        """Log the losses of the images since the last call."""
        rows = metrics_rows(info, self.step, time.monotonic() - self._started)
        every, last = self.outputs.log_every, self.scales[-1].last_step
        self.rows += [
            row for row in rows if row["step"] % every == 0 or row["step"] == last
        ]
        self.step += len(info.loss)
        with self.extras.writing("the log"):
            self.write()

    def write(self) -> None:
        """Write the rows that are not in metrics.jsonl yet.

        Raises:
          OSError: they cannot be written; the next call writes them, too.
        """
        folder = self.outputs.workdir
        if not folder or not is_first_process():
            return
        if self._rows_written is None:
            # In this order: without config.json a killed run could not be resumed.
            write_config(folder, self.config)
            write_metrics(folder, self.rows)
        elif rows := self.rows[self._rows_written :]:
            append_metrics(folder, rows)
        self._rows_written = len(self.rows)

    def first_and_last_loss(self) -> tuple[float, float] | None:
        """The first total loss and the last of the same scale; None without two."""
        end = self.scales[0].last_step
        # At its last step a scale's image has the next one's size.
        end += len(self.scales) == 1
        totals = [row["total"] for row in self.rows if row["step"] < end]
        return (totals[0], totals[-1]) if len(totals) > 1 else None
