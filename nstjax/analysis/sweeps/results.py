"""What comes out of a sweep: its arrays, and what is to be looked at."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nstjax.analysis.sweeps.axes import full_grid
from nstjax.analysis.sweeps.file import FINAL, Sweep, write_settings_table
from nstjax.analysis.sweeps.settings import Setting
from nstjax.analysis.sweeps.sheet import sweep_sheet
from nstjax.analysis.sweeps.sweep import LaneResults
from nstjax.images.pixels import to_8_bit
from nstjax.io.images import write_image
from nstjax.presets.preset import Preset
from nstjax.problem.preprocessing import Original, finish

LOGGER = logging.getLogger("nstjax")
MOST_TOLD = 5
TABLE, SHEET = "settings.csv", "contact_sheet.png"
PARETO, CURVES, HEAT_MAP = "pareto.png", "curves.png", "heat_map.png"


def as_sweep(
    settings: Sequence[Setting],
    results: LaneResults,
    original: Original,
    preset: Preset,
) -> Sweep:
    """The results of some lanes as a sweep without config.

    Args:
      settings: of the lanes.
      results: from ``nstjax.analysis.sweeps.sweep.run_lanes``.
      original: what the images are finished with.
      preset: whose color and size rules hold.
    """
    log = {
        "step": np.arange(preset.steps + 1),
        "total": results.log.loss,
        "gradient_norm": results.log.gradient_norm,
        **results.log.terms._asdict(),
    }
    row = np.where(results.diverged, results.stop_steps - 1, preset.steps)
    if preset.optimizer.keep == "best":
        best = np.where(np.isfinite(log["total"]), log["total"], np.inf).argmin(axis=1)
        row = np.where(results.diverged, row, best)
    lane = np.arange(len(settings))
    pictures = [finish(image, preset, original) for image in results.images]
    return Sweep(
        settings={
            name: np.array(
                [setting[name] for setting in settings],
                np.int64 if name == "seed" else np.float64,
            )
            for name in settings[0]
        },
        status=np.where(results.diverged, "diverged", "done"),
        stop_steps=results.stop_steps,
        log=log,
        final={
            name: np.where(row < 0, np.nan, log[name][lane, row]).astype(np.float64)
            for name in FINAL
        },
        images=to_8_bit(np.stack(pictures)),
        config={},
    )


def tell_diverged(sweep: Sweep) -> None:
    """Log a line for each of the first runs that diverged, and how many there were."""
    lanes = np.flatnonzero(sweep.status == "diverged")
    for lane in lanes[:MOST_TOLD]:
        setting = ", ".join(
            f"{name} {values[lane]:g}" for name, values in sweep.settings.items()
        )
        LOGGER.info("diverged at step %d: %s", sweep.stop_steps[lane], setting)
    if lanes.size > MOST_TOLD:
        LOGGER.info("%d of %d settings diverged", lanes.size, len(sweep.status))


def write_results(
    folder: Path, sweep: Sweep, content: np.ndarray, styles: Sequence[np.ndarray]
) -> None:
    """Write settings.csv, images/ and the figures.

    Those are contact_sheet.png, pareto.png, curves.png and, of a full grid of two
    settings, heat_map.png.

    Args:
      folder: where to.
      sweep: finished.
      content: the photo, sRGB in 0..1.
      styles: the paintings likewise.
    """
    # Matplotlib takes a while to import.
    from nstjax.analysis.figures import save_figure
    from nstjax.analysis.sweeps import plots as sweep_plots

    write_settings_table(folder / TABLE, sweep)
    (folder / "images").mkdir(exist_ok=True)
    for index, image in enumerate(sweep.images):
        write_image(_image_path(folder, index), image / np.float32(255))
    sheet = sweep_sheet(sweep, content, styles)
    write_image(folder / SHEET, sheet)
    save_figure(sweep_plots.pareto_figure(sweep), folder / PARETO)
    save_figure(sweep_plots.curves_figure(sweep), folder / CURVES)
    if full_grid(sweep):
        save_figure(sweep_plots.heat_map_figure(sweep), folder / HEAT_MAP)


def result_paths(folder: Path, count: int) -> list[Path]:
    """Every file that ``write_results`` may write, of so many settings."""
    names = (TABLE, SHEET, PARETO, CURVES, HEAT_MAP)
    images = (_image_path(folder, index) for index in range(count))
    return [*(folder / name for name in names), *images]


def _image_path(folder: Path, index: int) -> Path:
    return folder / "images" / f"{index:04d}.png"
