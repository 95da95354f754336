"""Nine small pictures of one painting: three amounts of style by three stroke sizes."""

import itertools
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from nstjax.io.compilation_cache import keep_compiled_programs
from nstjax.io.images import write_image
from nstjax.io.weights import load_network
from nstjax.presets.published import get_preset
from nstjax.runs.stylize import stylize
from nstjax.runtime.memory import keep_freed_memory
from nstjax.studio.jobs import (
    FACTORS,
    SCALES,
    Nine,
    preset_of,
    python_arguments,
    varied,
)
from nstjax.studio.pictures import Pictures
from nstjax.studio.runs import RESULTS, Runs

SIDE = 256
STEPS = 50  # of L-BFGS; at this size more of them change little


def paint_nine(folder: Path, key: str) -> None:
    """Paint the pictures that are missing, as files of a run's folder."""
    runs, pictures = Runs(folder / "runs"), Pictures(folder / "pictures")
    job = runs.read(key).job
    assert isinstance(job, Nine)
    place = runs.path(key) / RESULTS
    place.mkdir(exist_ok=True)
    weights, arguments, options = python_arguments(job.painting, pictures)
    params, own = load_network(weights).params, preset_of(job.painting)
    steps = min(own.steps, STEPS) if own.optimizer.name != "adam" else own.steps
    grid = list(itertools.product(SCALES, FACTORS))
    for number, (scale, factor) in enumerate(tqdm(grid, unit="picture"), start=1):
        path = place / f"{number}.jpg"
        if not path.exists():
            settings: dict[str, Any] = options | varied(job.painting, factor, scale)
            settings |= {"size": f"long:{SIDE}", "pyramid": "none", "steps": steps}
            preset = get_preset(job.painting.preset)
            write_image(path, stylize(*arguments, params, preset, **settings).image)


def run() -> None:
    """Do this for the studio's folder and the run that the arguments name."""
    keep_freed_memory()
    keep_compiled_programs()
    paint_nine(Path(sys.argv[1]), sys.argv[2])
