"""What comes out of a sweep: its arrays, and what is to be looked at."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nstjax.analysis.sweeps.axes import full_grid
from nstjax.analysis.sweeps.batch import Batch
from nstjax.analysis.sweeps.file import FINAL, Sweep, write_settings_table
from nstjax.analysis.sweeps.settings import Setting
from nstjax.analysis.sweeps.sheet import sweep_sheet
from nstjax.analysis.sweeps.sweep import BatchResults
from nstjax.images.pixels import to_8_bit
from nstjax.io.images import write_image
from nstjax.problem.preprocessing import finish

LOGGER = logging.getLogger("nstjax")
MOST_TOLD = 5
TABLE, SHEET = "settings.csv", "contact_sheet.png"
PARETO, CURVES, HEAT_MAP = "pareto.png", "curves.png", "heat_map.png"


def as_sweep(settings: Sequence[Setting], batch: Batch, results: BatchResults) -> Sweep:
    """A batch's settings and results as a sweep without config."""
    preset = batch.preset
    log = {
        "step": np.arange(preset.steps + 1),
        "total": results.log.loss,
        "gradient_norm": results.log.gradient_norm,
        **results.log.terms._asdict(),
    }
    row = np.full(len(settings), preset.steps)
    if preset.optimizer.keep == "best":
        row = np.where(np.isfinite(log["total"]), log["total"], np.inf).argmin(axis=1)
    row = np.where(results.diverged, results.stop_steps - 1, row)
    run = np.arange(len(settings))

    def column(name: str) -> np.ndarray:
        values = [setting[name] for setting in settings]
        return np.array(values, np.int64 if name == "seed" else np.float64)

    pictures = [finish(image, preset, batch.original) for image in results.images]
    return Sweep(
        settings={name: column(name) for name in settings[0]},
        status=np.where(results.diverged, "diverged", "done"),
        stop_steps=results.stop_steps,
        log=log,
        final={
            name: np.where(row < 0, np.nan, log[name][run, row]).astype(np.float64)
            for name in FINAL
        },
        images=to_8_bit(np.stack(pictures)),
        config={},
    )


def tell_diverged(sweep: Sweep) -> None:
    """Log a line for each of the first runs that diverged, and how many there were."""
    runs = np.flatnonzero(sweep.status == "diverged")
    for run in runs[:MOST_TOLD]:
        setting = ", ".join(
            f"{name} {values[run]:g}" for name, values in sweep.settings.items()
        )
        LOGGER.info("diverged at step %d: %s", sweep.stop_steps[run], setting)
    if runs.size > MOST_TOLD:
        LOGGER.info("%d of %d settings diverged", runs.size, len(sweep.status))


def write_results(
    folder: Path, sweep: Sweep, content: np.ndarray, styles: Sequence[np.ndarray]
) -> None:
    """Write settings.csv, images/ and the figures.

    The sheet shows the photo and the paintings, sRGB in 0..1, beside the results; only
    a full grid of two settings has a heat map.
    """
    # Matplotlib takes a while to import.
    from nstjax.analysis.figures import save_figure
    from nstjax.analysis.sweeps import plots

    write_settings_table(folder / TABLE, sweep)
    paths = _image_paths(folder, len(sweep.images))
    paths[0].parent.mkdir(exist_ok=True)
    for path, image in zip(paths, sweep.images, strict=True):
        write_image(path, image / np.float32(255))
    write_image(folder / SHEET, sweep_sheet(sweep, content, styles))
    save_figure(plots.pareto_figure(sweep), folder / PARETO)
    save_figure(plots.curves_figure(sweep), folder / CURVES)
    if full_grid(sweep):
        save_figure(plots.heat_map_figure(sweep), folder / HEAT_MAP)


def result_paths(folder: Path, count: int) -> list[Path]:
    """Every file that ``write_results`` may write, of so many settings."""
    names = (TABLE, SHEET, PARETO, CURVES, HEAT_MAP)
    return [*(folder / name for name in names), *_image_paths(folder, count)]


def _image_paths(folder: Path, count: int) -> list[Path]:
    return [folder / "images" / f"{index:04d}.png" for index in range(count)]
