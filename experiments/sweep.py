"""Many settings at once: ``python -m experiments.sweep PHOTO PAINTING --grid=...``.

Runs every setting side by side, in one compilation and in chunks that fit into memory,
and writes sweep.h5, settings.csv, the images, their sheet, the front of content against
style loss, and the curves. A sweep that was killed goes on when it is run again.
"""

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from absl import flags

from nstjax.analysis.sweeps import settings as swept
from nstjax.analysis.sweeps.batch import prepare_batch
from nstjax.analysis.sweeps.file import Sweep
from nstjax.analysis.sweeps.results import result_paths, tell_diverged, write_results
from nstjax.analysis.sweeps.run import Limits, SweepJob, run_sweep
from nstjax.commands import launcher, preset_flags
from nstjax.commands.path_flags import define_path
from nstjax.errors import InputError
from nstjax.io.atomic import check_results
from nstjax.io.transparency import read_on_white
from nstjax.io.weights import load_network
from nstjax.io.workdir import one_run_in
from nstjax.presets.preset import INITS, Preset
from nstjax.presets.published import DEFAULT_PRESET, get_preset
from nstjax.presets.settings import settings_of
from nstjax.problem.preprocessing import content_size, painting_size
from nstjax.problem.problem import NO_CONTROLS
from nstjax.runs.request import environment
from nstjax.runtime.interrupts import advise
from nstjax.runtime.memory import free_before_next_step
from nstjax.runtime.processes import is_first_process

USAGE = """
Many settings of one style transfer side by side.

  python -m experiments.sweep PHOTO PAINTING --workdir=DIR \\
    --grid="beta=1e1:1e5:9:log,learning_rate=1;2;5"
  python -m experiments.sweep --free_pictures --settings=FILE.csv --workdir=DIR

What may differ: alpha, beta, tv, learning_rate, seed, noise_ratio (with init=blend),
style_layer_weights.LAYER, content_layer_weights.LAYER and, with two paintings or more,
style_blend_weights.1, style_blend_weights.2, ...
"""

# What is swept, and what takes controls or several scales.
NUMBERS = (
    *swept.SCALARS,
    "noise_ratio",
    "content_layer_weights",
    "style_layer_weights",
)
OTHERS = ("guide_", "fine_", "pyramid", "montage")

flags.DEFINE_string("grid", None, "NAME=START:STOP:COUNT[:log] or NAME=A;B;C, with ,.")
define_path("settings", None, "CSV file: names, then a line for each run.")
define_path("workdir", None, "Folder for everything.")
flags.DEFINE_boolean("free_pictures", False, "Use a CC0 photo and our painting.")
flags.DEFINE_string("preset", DEFAULT_PRESET, "Published settings.")
preset_flags.define_settings(
    name
    for name in preset_flags.SETTINGS
    if name not in NUMBERS and not name.startswith(OTHERS)
)
define_path("weights", "auto", "As nstjax takes them.")
flags.DEFINE_integer("seed", 0, "Of the noise, where the settings have none.")
flags.DEFINE_float("memory_gb", None, "Peak memory; half of what is free if not given.")
flags.DEFINE_float("limit_minutes", 60.0, "Predicted minutes that need no --yes.")
launcher.define_process_flags()
flags.DEFINE_boolean("yes", False, "Go on whatever the sweep is predicted to take.")

FLAGS = flags.FLAGS


def main(pictures: Sequence[str]) -> int:
    """Run the sweep; returns the exit status."""
    if not FLAGS.workdir or bool(FLAGS.grid) == bool(FLAGS.settings):
        raise InputError("give --workdir=DIR and either --grid=... or --settings=FILE")
    if len(pictures) < 2 and (pictures or not FLAGS.free_pictures):
        raise InputError("give a photo and one painting or more, or --free_pictures")
    free_before_next_step()
    launcher.join_processes_of_flags()
    folder = Path(FLAGS.workdir)
    advise("the same command again goes on with the settings that are left")
    with one_run_in(folder):
        content, styles, sweep = sweep_pictures(folder, pictures)
        if is_first_process():
            write_results(folder, sweep, content, styles)
    tell_diverged(sweep)
    print(f"sweep: wrote {folder / 'sweep.h5'}, settings.csv, images and figures")
    return 0


def sweep_pictures(
    folder: Path, paths: Sequence[str]
) -> tuple[np.ndarray, list[np.ndarray], Sweep]:
    """The photo, the paintings, and the sweep in a folder of its own."""
    preset = get_preset(FLAGS.preset)
    preset = preset_flags.read_settings(preset, {"pyramid": "none"})
    content, *styles = read_pictures(paths, preset)
    settings = (
        swept.parse_grid(FLAGS.grid)
        if FLAGS.grid
        else swept.read_settings(FLAGS.settings)
    )
    seed = swept.seed_with({}, FLAGS.seed)
    swept.check_settings(settings, preset, len(styles), NO_CONTROLS)
    images = {"content": content}
    images |= {f"style_{number}": style for number, style in enumerate(styles, 1)}
    if preset.image.init not in INITS:
        images["init"] = read_on_white(preset.image.init, content_size(preset))
    check_results(
        result_paths(folder, settings.count),
        inputs=[*paths, FLAGS.settings, preset.image.init, FLAGS.weights],
    )
    network = load_network(FLAGS.weights, seed=seed)
    # All that decides the images, and with what they ran.
    config = {
        "settings": {
            "command": "sweep",
            "preset": FLAGS.preset,
            **settings_of(preset),
            "seed": seed,
            "swept": [axis._asdict() for axis in settings.axes],
            "weights_sha256": network.sha256,
            "image_sha256": {
                name: hashlib.sha256(image.tobytes()).hexdigest()
                for name, image in images.items()
            },
        },
        **environment(network),
        "devices": jax.device_count(),
    }
    prepare = functools.partial(
        prepare_batch,
        content,
        styles,
        network.params,
        preset,
        seed=seed,
        init_image=images.get("init"),
    )
    limits = Limits(FLAGS.memory_gb, FLAGS.limit_minutes, FLAGS.yes)
    sweep = run_sweep(SweepJob(prepare, preset, settings, folder, config, limits))
    return content, styles, sweep


def read_pictures(paths: Sequence[str], preset: Preset) -> list[np.ndarray]:
    """The photo and the paintings."""
    if paths:
        content = read_on_white(paths[0], content_size(preset))
        used_size = painting_size(content, preset)
        return [content, *(read_on_white(path, used_size) for path in paths[1:])]
    # scikit-image takes a while to import.
    from nstjax.io.demo import demo_pictures

    return list(demo_pictures())


if __name__ == "__main__":
    launcher.run_command("sweep", __name__, USAGE, main)
