"""Pictures of a run before its last one: snapshots, and a preview that is renewed."""

import contextlib
import logging
import time
from collections.abc import Mapping
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


class Snapshots:
    """Images of chosen steps, as pictures and for run.h5.

    Attributes:
      images: {step: image in the network's units}, those of a resumed run included.
    """

    def __init__(
        self,
        outputs: Outputs,
        preset: Preset,
        extras: Extras,
        problem: Problem,
        images: Mapping[int, np.ndarray],
    ):
        self.images = {**images}
        self._outputs = outputs
        self._preset = preset
        self._extras = extras
        self._unwritten: dict[Path, np.ndarray] = {}
        for step in outputs.snapshots:
            if step > problem.total_steps:
                LOGGER.info("no snapshot of step %d: the run ends before it", step)
            elif step < int(problem.state.step) and step not in images:
                LOGGER.info("no snapshot of step %d: the run has passed it", step)
        self.keep(problem.state, problem)

    def keep(self, state: TransferState, problem: Problem) -> None:
        """Keep the image if its step is one of those that are wanted."""
        step = int(state.step)
        if step in self._outputs.snapshots and step not in self.images:
            image = self.images[step] = to_numpy(state.image)
            if is_first_process():
                picture = finish(image, self._preset, problem.original)
                self._unwritten[self._outputs.snapshot(step)] = picture

    def write(self) -> None:
        """Write the pictures that were not written yet, or could not be."""
        for path, picture in list(self._unwritten.items()):
            with self._extras.writing("a snapshot"):
                write_image(path, picture, self._outputs.quality)
                del self._unwritten[path]


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
