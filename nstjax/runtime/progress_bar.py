"""Progress bars that a line about a signal does not run into."""

from tqdm import tqdm

from nstjax.runtime.interrupts import undisturbed


class ProgressBar(tqdm):
    """One of tqdm's, whose line has ended by the time that a signal is answered."""

    def close(self) -> None:
        """End the line."""
        with undisturbed():
            super().close()
