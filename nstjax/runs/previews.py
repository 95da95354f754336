"""The image so far, in a file that is renewed while the run lasts."""

import contextlib
import time

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


class Preview(contextlib.ExitStack):
    """The preview of a run; it is removed when the block ends."""

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
