"""Images of chosen steps: as pictures, and kept for run.h5."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nstjax.io.extras import Extras
from nstjax.io.images import write_image
from nstjax.optimization.transfer import TransferState
from nstjax.presets.preset import Preset
from nstjax.problem.preprocessing import finish
from nstjax.problem.problem import Problem
from nstjax.runs.outputs import Outputs
from nstjax.runtime.processes import is_first_process, to_numpy

LOGGER = logging.getLogger("nstjax")


class Snapshots:
    """The snapshots of a run.

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
        self._outputs = outputs
        self._preset = preset
        self._extras = extras
        self._unwritten: dict[Path, np.ndarray] = {}
        self.images = {**images}
        for step in outputs.snapshots:
            if step > problem.total_steps:
                LOGGER.info("no snapshot of step %d: the run ends before it", step)
            elif step < int(problem.state.step) and step not in images:
                LOGGER.info("no snapshot of step %d: the run has passed it", step)

    def keep(self, state: TransferState, problem: Problem) -> None:
        """Keep the image if its step is one of those that are wanted."""
        step = int(state.step)
        if step in self._outputs.snapshots and step not in self.images:
            image = self.images[step] = to_numpy(state.image)
            if is_first_process():
                picture = finish(image, self._preset, problem.original)
                self._unwritten[self._outputs.snapshot(step)] = picture

    def write(self) -> None:
        """Write the pictures that could not be written, or were not yet."""
        for path, picture in list(self._unwritten.items()):
            with self._extras.writing("a snapshot"):
                write_image(path, picture, self._outputs.quality)
                del self._unwritten[path]
