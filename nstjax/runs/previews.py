"""Pictures of a run before its last one: snapshots, and a preview that is renewed."""

import contextlib
import dataclasses
import logging
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

from nstjax.errors import InputError
from nstjax.io.extras import Extras
from nstjax.io.images import write_image
from nstjax.io.locks import own_folder
from nstjax.optimization.transfer import TransferState
from nstjax.presets.preset import Preset
from nstjax.problem.preprocessing import finish
from nstjax.problem.problem import Problem
from nstjax.runs.outputs import Outputs
from nstjax.runtime.processes import any_of_processes, is_first_process, to_numpy

LOGGER = logging.getLogger("nstjax")


@dataclasses.dataclass
class Snapshots:
    """Images of chosen steps, as pictures and for run.h5.

    Attributes:
      images: {step: image in the network's units}, those of a resumed run included.
      unwritten: pictures that are still to be written.
    """

    outputs: Outputs
    preset: Preset
    extras: Extras
    images: dict[int, np.ndarray]
    unwritten: dict[Path, np.ndarray] = dataclasses.field(default_factory=dict)

    def begin(self, problem: Problem) -> None:
        """Tell which steps the run does not come to, and keep its first image."""
        for step in self.outputs.snapshots:
            if step > problem.total_steps:
                LOGGER.info("no snapshot of step %d: the run ends before it", step)
            elif step < int(problem.state.step) and step not in self.images:
                LOGGER.info("no snapshot of step %d: the run has passed it", step)
        self.keep(problem.state, problem)

    def keep(self, state: TransferState, problem: Problem) -> None:
        """Keep the image if its step is one of those that are wanted."""
        step = int(state.step)
        if step in self.outputs.snapshots and step not in self.images:
            image = self.images[step] = to_numpy(state.image)
            if is_first_process():
                picture = finish(image, self.preset, problem.original)
                self.unwritten[self.outputs.snapshot(step)] = picture

    def write(self) -> None:
        """Write the pictures that were not written yet, or could not be."""
        for path, picture in list(self.unwritten.items()):
            with self.extras.writing("a snapshot"):
                write_image(path, picture, self.outputs.quality)
                del self.unwritten[path]


class Preview(contextlib.ExitStack):
    """The image so far, in a file that is removed when the block ends."""

    def __init__(self, outputs: Outputs, preset: Preset):
        super().__init__()
        self._outputs = outputs
        self._preset = preset
        # A preview is nothing that a run lacks in the end.
        self._extras = Extras()
        self._has_folder = False
        self._renewed = time.monotonic()

    def renew(self, state: TransferState, problem: Problem) -> None:
        """Write the image if it is time to."""
        seconds, now = self._outputs.preview_seconds, time.monotonic()
        if seconds and any_of_processes(now - self._renewed >= seconds):
            self._renewed = now
            image = to_numpy(state.image)
            if is_first_process():
                with self._extras.writing("the preview"):
                    self._write(finish(image, self._preset, problem.original))

    def _write(self, picture: np.ndarray) -> None:
        path = self._outputs.preview
        if not self._has_folder:
            if not self.enter_context(own_folder(path.parent)):
                raise InputError(f"{path.parent} is there already")
            self._has_folder = True
            tqdm.write(
                f"nstjax: preview in {path}, renewed every "
                f"{self._outputs.preview_seconds:g} seconds"
            )
        write_image(path, picture, self._outputs.quality)
